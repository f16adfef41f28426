"""`huggingface:PATH`: an ImageFolder of Hugging Face's datasets, whose metadata.jsonl has the objects of each image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reskeras.data.purpose import Purpose
from reskeras.errors import ReskerasError, shown
from reskeras.tasks.detection.annotations.coco_shapes import corners
from reskeras.tasks.detection.annotations.dataset_card import FILE as CARD
from reskeras.tasks.detection.annotations.dataset_card import class_names
from reskeras.tasks.detection.annotations.folder import (
    annotated_file,
    file_named,
    head_of,
    images_of,
    read_json_object,
    read_lines,
    relative,
    set_of,
    split_of,
    walked,
)
from reskeras.tasks.detection.cleaning import Annotated, AnnotatedSet, class_name
from reskeras.tasks.detection.image_headers import look_at
from reskeras.tasks.detection.tally import Tally

FILE = "metadata.jsonl"
CATEGORIES = ("categories", "category")  # what the list beside bbox is called
LARGEST_FILE = 1_000_000_000  # bytes


def is_hugging_face(path: Path) -> bool:
    """Whether the folder at `path` holds a metadata.jsonl with objects."""
    _, files = walked(path)
    return any('"objects"' in head_of(file) for file in _files(files))


def read_hugging_face(path: Path, purpose: Purpose) -> AnnotatedSet:
    """The annotated images of an ImageFolder, by headers and annotations alone.

    Each line of a metadata.jsonl, in the folder or in those of its splits, has the `file_name` of an image, from the
    line's own folder, and `objects`: `bbox`, lists of left, top, width and height in pixels, and `categories` (or
    `category`), of each box a class name or a number. Numbers have the names of the dataset card, README.md; without
    one they are the classes 0, 1, ... The splits are the folders called train, validation and test. Images in no
    metadata.jsonl are left out and counted.

    Raises ReskerasError, status 2, that names the line and the rule: float ids, paths with backslashes or out of the
    folder, an image in two lines, as many boxes as categories, numbers that the card does not name; 1 for broken JSON.
    """
    tally, known = Tally(), class_names(path, CATEGORIES)
    walk, files = walked(path)
    rows = [(file, number, row) for file in _files(files) for number, row in _rows(file)]
    if not rows:
        raise ReskerasError(f"data: {path} is not an ImageFolder with boxes: it has no {FILE} with objects")
    places: dict[Path, str] = {}
    for file, number, row in rows:
        where = f"{file}, line {number}"
        image = file_named(path, file.parent, row.get("file_name"), f"{where}, file_name")
        if (before := places.setdefault(image, where)) != where:
            raise ReskerasError(f"data: {where}: {relative(image, path)} is also in {before}")
    seen = look_at(places)
    parts: dict[str, list[Annotated]] = {}
    kinds: set[type] = set()
    for (image, where), (_, _, row) in zip(places.items(), rows, strict=True):
        name = relative(image, path)
        boxes, names = _objects(row.get("objects"), where, kinds, known)
        if image in seen:
            inside = image.relative_to(path)
            one = annotated_file(inside.as_posix(), name, seen[image], boxes, names, tally)
            parts.setdefault(split_of(inside), []).append(one)
        else:
            tally.add("imageless", name)
    for image in images_of(files):
        if image not in places:
            tally.add("unlabelled", relative(image, path))
    tally.said += walk.left_out.notes()
    return set_of("huggingface", path, (known or _numbered(parts)) if int in kinds else None, parts, tally)


def _files(files: list[Path]) -> list[Path]:
    return [file for file in files if file.name == FILE]


def _rows(file: Path) -> list[tuple[int, dict[str, Any]]]:
    """The numbers and the contents of the lines that are not blank."""
    lines = enumerate(read_lines(file, LARGEST_FILE), 1)
    return [(number, read_json_object(line, f"{file}, line {number}")) for number, line in lines if line.strip()]


def _objects(
    objects: object, where: str, kinds: set[type], known: tuple[str, ...]
) -> tuple[list[Any], list[str | None]]:
    """The boxes and class names of one image, by number those `known`; `kinds` collects the types of categories."""
    if not isinstance(objects, dict):
        raise ReskerasError(f"data: {where}: objects {shown(objects)} should be a mapping with bbox and categories")
    key = next((key for key in CATEGORIES if key in objects), CATEGORIES[0])
    boxes, categories = objects.get("bbox"), objects.get(key)
    if not isinstance(boxes, list) or not isinstance(categories, list) or len(boxes) != len(categories):
        raise ReskerasError(f"data: {where}: objects should have lists bbox and {key} of the same length")
    for place, category in enumerate(categories):
        if type(category) not in (int, str) or (type(category) is int and category < 0):
            raise ReskerasError(
                f"data: {where}: {key}[{place}] {shown(category)} should be a class name, or a whole number from 0 on"
            )
        if known and type(category) is int and category >= len(known):
            raise ReskerasError(
                f"data: {where}: {key}[{place}] {category} has no name in {CARD}, which names {len(known):,}"
            )
        kinds.add(type(category))
    if len(kinds) > 1:
        raise ReskerasError(f"data: {where}: {key} has names and numbers; all should be of one kind")
    names = [known[each] if known and type(each) is int else str(each) for each in categories]
    return [corners(box) for box in boxes], list(map(class_name, names))


def _numbered(parts: dict[str, list[Annotated]]) -> tuple[str, ...]:
    """The classes of a set that numbers them, in that order."""
    found = {name for images in parts.values() for image in images for name in image.names if name}
    return tuple(sorted(found, key=int))
