"""`labelme:PATH`: a folder of LabelMe's JSON, one for each image, with its shapes in pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reskeras.bounded import read_bounded
from reskeras.data.purpose import Purpose
from reskeras.errors import ReskerasError, failure, shown
from reskeras.tasks.detection.annotations.folder import (
    annotated_file,
    file_named,
    head_of,
    images_of,
    pixels,
    read_json_object,
    relative,
    set_of,
    split_of,
    walked,
)
from reskeras.tasks.detection.cleaning import Annotated, AnnotatedSet, class_name
from reskeras.tasks.detection.image_headers import look_at
from reskeras.tasks.detection.tally import Tally

LARGEST_JSON = 200_000_000  # bytes; most have the image in them too
TRIED = 100  # JSON files that are looked into for shapes
AREALESS = {"point", "points", "line", "linestrip"}
LEAST = {"polygon": 3, "rectangle": 2, "circle": 2, "mask": 2}  # points; the last three have no more, or four corners
MOST = {"circle": 2, "mask": 2, "rectangle": 4}
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Shapes:
    """The content of a JSON: the image's path, its size (height, width) as said, and the boxes and names of shapes; how
    many shapes were outlines, and how many without an area are left out; and whether it holds the image itself."""

    image: Path
    said: tuple[Any, Any] | None
    boxes: list[Box]
    names: list[str | None]
    outlined: int
    shapeless: int
    encloses: bool


def is_labelme(path: Path) -> bool:
    """Whether the folder at `path` holds LabelMe's JSON: whether any of its first ones has shapes."""
    _, files = walked(path)
    return any('"shapes"' in head_of(file) for file in _jsons(files)[:TRIED])


def read_labelme(path: Path, purpose: Purpose) -> AnnotatedSet:
    """The annotated images of a folder of LabelMe's JSON, at any depth, by headers and annotations alone.

    The image is the one at imagePath, from the JSON's folder; the image in the JSON (imageData) is not read, and
    counted where there is no other. Rectangles are boxes by any two opposite corners; of polygons, circles (a centre
    and a point on the circle) and masks the box around them is taken. Points and lines have no area and are left out
    and counted. Below folders called train, val and test images belong to these, else one in five is for test. The
    classes are the labels that occur in training, sorted. JSON of other kinds is left out. Images without a JSON are
    left out and counted, those without shapes are background.

    Raises ReskerasError, status 2, that names the shape and the rule: paths with backslashes or out of the folder,
    polygons of two points; 1 for a broken JSON.
    """
    tally = Tally()
    walk, files = walked(path)
    read = {file: found for file in _jsons(files) if (found := _read(path, file, tally)) is not None}
    if not read:
        raise ReskerasError(f"data: {path} is not a LabelMe folder: none of its files is a JSON with shapes")
    seen = look_at(found.image for found in read.values())
    parts: dict[str, list[Annotated]] = {}
    for file, found in read.items():
        where = relative(file, path)
        if found.image not in seen:
            only_inside = found.encloses and not found.image.exists()
            tally.add("enclosed" if only_inside else "imageless", where)
            continue
        tally.add("outlined", where, found.outlined)
        tally.add("shapeless", where, found.shapeless)
        name = found.image.relative_to(path)
        one = annotated_file(
            name.as_posix(), where, seen[found.image], found.boxes, found.names, tally, said=found.said
        )
        parts.setdefault(split_of(name) or split_of(file.relative_to(path)), []).append(one)
    used = {found.image for found in read.values()}
    for image in images_of(files):
        if image not in used:
            tally.add("unlabelled", relative(image, path))
    tally.said += walk.left_out.notes()
    return set_of("labelme", path, None, parts, tally)


def _jsons(files: list[Path]) -> list[Path]:
    return [file for file in files if file.suffix.lower() == ".json"]


def _read(path: Path, file: Path, tally: Tally) -> Shapes | None:
    """The shapes in a JSON; None for JSON of another kind."""
    try:
        text = read_bounded(file, LARGEST_JSON)
    except (OSError, ValueError) as error:
        raise failure(f"data: {file} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if b'"shapes"' not in text:
        return None
    data = read_json_object(text, str(file))
    shapes = data.get("shapes")
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise ReskerasError(f"data: {file}: shapes should be a list of shapes")
    boxes: list[Box] = []
    names: list[str | None] = []
    outlined = shapeless = 0
    for place, shape in enumerate(shapes):
        kind = shape.get("shape_type") or "polygon"  # which the oldest versions had alone
        if isinstance(kind, str) and kind in AREALESS:
            shapeless += 1
            continue
        boxes.append(_box(kind, shape.get("points"), f"{file}, shapes[{place}]"))
        names.append(class_name(shape.get("label")))
        outlined += kind != "rectangle"
    said = data.get("imageHeight"), data.get("imageWidth")
    image = file_named(path, file.parent, data.get("imagePath"), f"{file}, imagePath")
    encloses = bool(data.get("imageData"))
    return Shapes(image, None if None in said else said, boxes, names, outlined, shapeless, encloses)


def _box(kind: object, points: object, where: str) -> Box:
    """The box of one shape: top, left, bottom, right."""
    if not isinstance(kind, str) or kind not in LEAST:
        known = ", ".join([*LEAST, *sorted(AREALESS)])
        raise ReskerasError(f"data: {where}: shape_type {shown(kind)} is not one of {known}")
    if not isinstance(points, list) or not all(_is_point(point) for point in points):
        raise ReskerasError(f"data: {where}: points {shown(points)} should be a list of pairs of finite numbers")
    if not LEAST[kind] <= len(points) <= MOST.get(kind, len(points)):
        count = f"{LEAST[kind]}" if MOST.get(kind) == LEAST[kind] else f"at least {LEAST[kind]}"
        raise ReskerasError(f"data: {where}: a {kind} of {len(points)} points; it needs {count}")
    if kind == "circle":
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        return y - radius, x - radius, y + radius, x + radius
    top, left, bottom, right = pixels(points)
    return (top, left, bottom + 1, right + 1) if kind == "mask" else (top, left, bottom, right)  # a mask's are pixels


def _is_point(point: object) -> bool:
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(type(number) in (int, float) and abs(number) < 1e9 for number in point)
    )
