"""`yolo:PATH`: a folder with a data.yaml as Ultralytics and Roboflow have it, an obj.names of darknet and CVAT, or just
images/, labels/ and classes.txt."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from reskeras.data.purpose import Purpose
from reskeras.documents.document import read_yaml
from reskeras.errors import ReskerasError, shown
from reskeras.tasks.detection.annotations.folder import (
    annotated_file,
    children_of,
    file_named,
    head_of,
    images_of,
    read_lines,
    relative,
    set_of,
    split_of,
    walked,
)
from reskeras.tasks.detection.annotations.yolo_labels import Labels, listed_names, names_of, read_labels
from reskeras.tasks.detection.cleaning import Annotated, AnnotatedSet
from reskeras.tasks.detection.image_headers import look_at
from reskeras.tasks.detection.tally import Tally
from reskeras.walk import Walk, check_folder, is_image

YAML = (".yaml", ".yml")
KEYS = {"train": "train", "val": "validation", "valid": "validation", "test": "test"}  # of a data.yaml, and obj.data
CLASSES = ("classes.txt", "labels/classes.txt", "obj.names")
NO_LABELS = {"classes.txt", "train.txt", "val.txt", "valid.txt", "test.txt", "readme.txt"}
LARGEST_LIST = 100_000_000  # bytes
MOST_POINTS = 1000  # numbers of a pose


@dataclass(frozen=True)
class Layout:
    """What a folder says of itself: the `names` of its classes, where the images of each split are (files of images or
    of lists, or folders), and the numbers of a pose that follow each box."""

    names: tuple[str, ...]
    places: dict[str, list[Path]]
    points: int = 0


def is_yolo(path: Path) -> bool:
    """Whether the folder at `path` holds YOLO's labels."""
    return _description(path) is not None or _names_file(path) is not None


def read_yolo(path: Path, purpose: Purpose) -> AnnotatedSet:
    """The annotated images of a YOLO folder, by headers and labels alone.

    data.yaml (or another .yaml or .yml with names) has the names of the classes, a list or a mapping from numbers, and
    the images for train, val and test, each a folder, a list of files in a .txt, or several of them, from `path` or
    from the folder of the data.yaml; `../` at their beginning, which Roboflow writes, is left out. Without it the names
    are in classes.txt or obj.names, and the splits in train.txt and the like, or they are the folders called so. The
    labels of images/a.jpg are in labels/a.txt, or beside it. val is for test where there is no test, else for training.

    A line has a class number and the centre, width and height of a box as shares of the image as displayed, or the
    points of a polygon, whose box is taken. Images without labels are background. Dropped, each counted in the notes:
    unreadable images, labels without an image, empty boxes; boxes that exceed the image are clipped. Raises
    ReskerasError, status 2, that names the line for whatever breaks a rule, a place outside the folder among them.
    """
    tally = Tally()
    walk, files = walked(path)
    layout = _layout(walk, path, tally)
    images = {split: _images(path, walk, places, tally) for split, places in layout.places.items()}
    if not layout.places:
        for image in images_of(files):
            images.setdefault(split_of(image.relative_to(path)), []).append(image)
    labels = {image: _labels_of(path, image) for each in images.values() for image in each}
    _refuse_shared(labels)
    used = {file for file in labels.values() if file}
    if not used:
        raise ReskerasError(f"data: {path} has no file of labels for any of its {len(labels):,} images")
    for each in files:
        if _is_labels(each, path) and each not in used:
            tally.add("orphaned", relative(each, path))
    seen = look_at(labels)
    parts: dict[str, list[Annotated]] = {}
    for split, of_split in images.items():
        for image in of_split:
            name, file = relative(image, path), labels[image]
            if image not in seen:
                tally.add("imageless", name)
                continue
            found = read_labels(file, len(layout.names), layout.points) if file else Labels((), (), 0)
            tally.add("outlined", name, found.outlined)
            boxes = np.array(found.boxes).reshape(-1, 4) * [*seen[image].size, *seen[image].size]
            classes = [layout.names[number] for number in found.classes]
            one = annotated_file(image.relative_to(path).as_posix(), name, seen[image], boxes, classes, tally)
            parts.setdefault(split, []).append(one)
    tally.said += walk.left_out.notes()
    return set_of("yolo", path, layout.names, parts, tally)


def _description(path: Path) -> Path | None:
    """The data.yaml of a folder, or the only other YAML that has names."""
    found = [file for file in children_of(path) if file.suffix.lower() in YAML and file.is_file()]
    named = [file for file in found if any(line.startswith("names:") for line in head_of(file).splitlines())]
    plain = [file for file in named if file.stem.lower() == "data"]
    if not plain and len(named) > 1:
        listed = " and ".join(file.name for file in named[:5])
        raise ReskerasError(f"data: {path} has {listed}; keep one, or rename it to data.yaml")
    return next(iter(plain or named), None)


def _names_file(path: Path) -> Path | None:
    return next((path / name for name in CLASSES if (path / name).is_file()), None)


def _layout(walk: Walk, path: Path, tally: Tally) -> Layout:
    """What the folder says of itself. ReskerasError (status 2) for what says nothing, or nothing sensible."""
    check_folder(path)
    if file := _description(path):
        return _described(file, path, tally)
    names = _names_file(path)
    if names is None:
        raise ReskerasError(
            f"data: {path} is not a YOLO folder: it has no data.yaml with names, no classes.txt and no obj.names"
        )
    lists = {split: path / f"{key}.txt" for key, split in KEYS.items() if (path / f"{key}.txt").is_file()}
    return Layout(listed_names(names), {split: [file] for split, file in lists.items()})


def _described(file: Path, path: Path, tally: Tally) -> Layout:
    """The layout by a data.yaml."""
    data, lines = read_yaml(file)

    def at(*place: Any) -> str:
        return f"{file}, line {lines.get(place, 1)}"

    names = names_of(data.get("names"), data.get("nc"), at("names"))
    root = path
    if (base := data.get("path")) not in (None, "", ".", "./"):
        try:
            root = file_named(path, path, base, at("path")) if isinstance(base, str) else path
        except ReskerasError:
            root = path
        if root == path or not root.is_dir():
            tally.said.append(f"path: {shown(base)} in {file.name} is not in the folder and is not used")
            root = path
    places: dict[str, list[Path]] = {}
    for key, split in KEYS.items():
        value = data.get(key)
        for entry in value if isinstance(value, list) else [value] if value not in (None, "") else []:
            place = _place(path, root, entry, f"{at(key)}, {key}")
            if place not in places.setdefault(split, []):
                places[split].append(place)
    if not places:
        raise ReskerasError(f"data: {file} names no images: train, val or test should be a folder or a list of files")
    for place in places.get("test", ()):  # those who have no test images name the others twice
        if place in places.get("validation", ()):
            places["validation"].remove(place)
    return Layout(names, {split: each for split, each in places.items() if each}, _points(data, at("kpt_shape")))


def _points(data: dict[str, Any], where: str) -> int:
    """The numbers of a pose, which follow its box."""
    shape = data.get("kpt_shape")
    if shape is None:
        return 0
    if not (isinstance(shape, list) and len(shape) == 2 and all(type(side) is int and side > 0 for side in shape)):
        raise ReskerasError(f"data: {where}: kpt_shape {shown(shape)} should be two whole numbers, points and numbers")
    if shape[0] * shape[1] > MOST_POINTS:
        raise ReskerasError(f"data: {where}: kpt_shape {shown(shape)} has more than {MOST_POINTS} numbers")
    return shape[0] * shape[1]


def _place(path: Path, root: Path, entry: object, where: str) -> Path:
    """The folder or file that an entry of a data.yaml means."""
    if isinstance(entry, str):
        inside = PurePosixPath(entry)
        while inside.parts[:1] == ("..",):
            inside = inside.relative_to("..")
        entry = str(inside) if (root / inside).exists() else entry
    place = file_named(path, root, entry, where) if entry != "." else path
    if not place.exists():
        raise ReskerasError(f"data: {where}: {place} does not exist")
    return place


def _images(path: Path, walk: Walk, places: list[Path], tally: Tally) -> list[Path]:
    """The images of one split, each once, in the order of the lists and of the names."""
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            found += images_of(walk.files(place))
        elif is_image(place):
            found.append(place)
        elif place.suffix.lower() == ".txt":
            found += _listed(path, place)
        else:
            raise ReskerasError(f"data: {place} is neither a folder of images nor a list of them in a .txt")
    for image, count in Counter(found).items():
        if count > 1:
            tally.add("twice", relative(image, path))
    return list(dict.fromkeys(found))


def _listed(path: Path, file: Path) -> Iterator[Path]:
    """The images that a list names, from its folder or as darknet and CVAT do from data/."""
    for number, line in enumerate(read_lines(file, LARGEST_LIST), 1):
        if name := line.strip():
            place = file_named(path, file.parent, name, f"{file}, line {number}")
            inside = place.relative_to(path)
            if inside.parts[0] == "data" and not place.exists():
                place = path.joinpath(*inside.parts[1:])
            yield place


def _labels_of(path: Path, image: Path) -> Path | None:
    """The labels of an image: in labels/ for the innermost images/ above it, as Ultralytics has it, or beside it."""
    parts = image.relative_to(path).parts
    near = image.with_suffix(".txt")
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            there = path.joinpath(*parts[:place], "labels", *parts[place + 1 :]).with_suffix(".txt")
            return there if os.path.isfile(there) else near if os.path.isfile(near) else None
    return near if os.path.isfile(near) else None


def _is_labels(file: Path, path: Path) -> bool:
    """Whether a file would be labels by its name and place."""
    if file.suffix.lower() != ".txt" or file.name.lower() in NO_LABELS:
        return False
    return "labels" in file.relative_to(path).parts[:-1]


def _refuse_shared(labels: dict[Path, Path | None]) -> None:
    """ReskerasError where a.jpg and a.png have the same labels."""
    owners: dict[Path, Path] = {}
    for image, file in labels.items():
        if file and (other := owners.setdefault(file, image)) != image:
            raise ReskerasError(f"data: {file} has the labels of {other.name} and of {image.name}; keep one of the two")
