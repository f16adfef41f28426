"""`coco:PATH`: a folder as COCO lays it out, JSON of instances in annotations/ and the images beside it."""

from __future__ import annotations

import os
from dataclasses import replace
from glob import escape
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from reskeras.data.purpose import Purpose
from reskeras.data.source import Source
from reskeras.errors import ReskerasError, failure
from reskeras.tasks.detection.cleaning import Annotated, AnnotatedSet, as_shown, cleaned_source, printable
from reskeras.tasks.detection.coco_json import Instances, key, read_instances
from reskeras.tasks.detection.image_headers import StoredImage, file_reader, look_at
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.detection.tally import Tally

ROLES = {"train": ("train",), "test": ("test", "val")}  # file name prefixes, by preference
NO_BOX = (float("nan"),) * 4
TRIED = 100  # file names that are tried to find the image folder


def open_coco(path: Path, purpose: Purpose) -> Source[Objects]:
    """The annotated images of a COCO folder, by headers and annotations alone.

    annotations/instances_train*.json is for training, instances_test*.json for test, or instances_val*.json where there
    is no such file with objects; of a single JSON, in annotations/ or in the folder itself, one image in five is for
    test, by a hash of its name, or all if `purpose` is testing. The images of instances_train2017.json are looked for
    in train2017/ and other folders called train*/, in the folder and in its images/, and in these two themselves.
    The classes are the categories of the training file by ascending id; those of a test file are matched by name.
    Segmentations are not used.

    Dropped, each counted in the notes: images that are missing, unreadable, or whose name leads out of the folder;
    objects without an image, a category or four finite numbers; boxes that are empty or wholly outside the image; in
    test, objects of classes that training does not have. Boxes that exceed the image are clipped, crowds (iscrowd) are
    ignored, images without objects are background, and an image's size is that of its file. Raises ReskerasError:
    status 2 for another kind of folder, or when nothing is left to train or test on; 1 for another kind of JSON, a
    broken one or one of more than 2 GB.
    """
    tally = Tally()
    train_file, test_files = _files(path)
    instances = read_instances(train_file)
    train, classes = _annotated_images(path, train_file, instances, tally), instances.classes
    test, divided = [], ""
    for file in test_files:
        instances = read_instances(file)
        if instances.objects:
            test, divided = _annotated_images(path, file, instances, tally), f"the file {file.name}"
            break
        tally.said.append(f"{file.name} has no objects and is not used")
    annotated = AnnotatedSet(f"coco:{path}", path.absolute().name, classes, train, test, divided, file_reader)
    return cleaned_source(annotated, tally, purpose)


def _files(path: Path) -> tuple[Path, list[Path]]:
    """The training JSON, and the candidates for test, best first."""
    if not path.is_dir():
        raise ReskerasError(f"data: folder not found: {path}")
    folder = path / "annotations"
    found = {
        role: [file for name in names for file in _matching(folder, f"instances_{name}*.json")]
        for role, names in ROLES.items()
    }
    if found["train"]:
        if len(found["train"]) > 1:
            raise ReskerasError(
                f"data: {folder} has {' and '.join(file.name for file in found['train'])}; keep the one to train on"
            )
        return found["train"][0], found["test"]
    lone = found["test"] or _matching(folder, "*.json") or _matching(path, "*.json")
    if len(lone) != 1:
        listed = f"it has {', '.join(printable(file.name) for file in lone[:5])}" if lone else "it has no JSON"
        raise ReskerasError(
            f"data: {path} is not a COCO folder: {listed}; expected annotations/instances_train*.json or "
            "a single JSON file"
        )
    return lone[0], []


def _matching(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(file for file in folder.glob(pattern) if not file.name.startswith("."))
    except OSError as error:
        raise failure(f"data: {folder} cannot be read: {error.strerror}") from error


def _annotated_images(path: Path, file: Path, instances: Instances, tally: Tally) -> list[Annotated]:
    """The images of a JSON whose files exist, with their objects."""
    entries = _entries(instances, tally)
    objects: dict[int | str | None, list[dict[str, Any]]] = {number: [] for number in entries}
    for each in instances.objects:
        if (owner := key(each.get("image_id"))) in objects:
            objects[owner].append(each)
        else:
            tally.add("astray")
    names = {number: str(entry.get("file_name")) for number, entry in entries.items()}
    inside = {number: name for number, name in names.items() if _leads_inside(name)}
    folder = _image_folder(path, file, list(inside.values())[:TRIED])
    seen = look_at(folder / name for name in inside.values())
    found = []
    for number, name in names.items():
        where, image = printable(name), seen.get(folder / name) if number in inside else None
        if image:
            one = _annotated(number, where, image, objects[number], instances)
            boxes = as_shown(one.boxes, _size(entries[number]), image.header, where, tally)
            found.append(replace(one, boxes=boxes))
        else:
            tally.add("imageless" if number in inside else "outlying", where)
    return found


def _entries(instances: Instances, tally: Tally) -> dict[int | str, dict[str, Any]]:
    """The images of a JSON by id; the first of duplicates."""
    entries: dict[int | str, dict[str, Any]] = {}
    for entry in instances.images:
        number = key(entry.get("id"))
        if number is None:
            tally.add("unread", f"{printable(str(entry.get('file_name')))} (no id)")
        elif number in entries:
            tally.add("twice", printable(str(number)))
        else:
            entries[number] = entry
    return entries


def _leads_inside(name: str) -> bool:
    """Whether a path from an untrusted file stays below the folder that it is joined to."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _image_folder(path: Path, file: Path, names: list[str]) -> Path:
    """The folder where most of the `names` are files."""
    tag = file.stem.removeprefix("instances_")
    role = tag.rstrip("0123456789")
    tried = [path / tag, path / "images" / tag]
    if tag != file.stem and role:
        tried += [*_matching(path, f"{escape(role)}*"), *_matching(path / "images", f"{escape(role)}*")]
    tried = [folder for folder in dict.fromkeys([*tried, path / "images", path]) if folder.is_dir()]
    counts = [sum(os.path.isfile(folder / name) for name in names) for folder in tried]  # False for impossible names
    if not any(counts):
        example = f", such as {printable(names[0])}," if names else ""
        raise ReskerasError(f"data: the images of {file}{example} are not in {' or '.join(map(str, tried))}")
    return tried[counts.index(max(counts))]


def _size(entry: dict[str, Any]) -> tuple[Any, Any] | None:
    said = entry.get("height"), entry.get("width")
    return None if None in said else said


def _annotated(
    number: int | str, where: str, image: StoredImage, objects: list[dict[str, Any]], instances: Instances
) -> Annotated:
    crowd = np.array([each.get("iscrowd") in (1, True) for each in objects], bool)
    return Annotated(
        id=number,
        where=where,
        stored=image,
        size=image.size,
        ignored=crowd,
        crowd=crowd,
        boxes=np.array([_corners(each.get("bbox")) for each in objects], np.float64).reshape(-1, 4),
        names=tuple(
            None if (category := key(each.get("category_id"))) is None else instances.names.get(category)
            for each in objects
        ),
    )


def _corners(box: object) -> tuple[float, float, float, float]:
    """COCO's left, top, width, height as top, left, bottom, right; NaN for anything else."""
    try:
        if isinstance(box, list) and len(box) == 4 and all(type(number) in (int, float) for number in box):
            left, top, width, height = map(float, box)
            return top, left, top + height, left + width
    except OverflowError:  # JSON's integers have any number of digits
        pass
    return NO_BOX
