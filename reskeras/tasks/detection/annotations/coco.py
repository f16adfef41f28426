"""`coco:PATH`: JSON of instances, in annotations/ as COCO and CVAT have it, or beside the images as Roboflow does."""

from __future__ import annotations

import os
from dataclasses import replace
from glob import escape
from pathlib import Path, PurePosixPath
from typing import Any

from reskeras.data.layout import WORDS, role_of
from reskeras.data.purpose import Purpose
from reskeras.errors import ReskerasError, failure, shown
from reskeras.tasks.detection.annotations.coco_json import Instances, key, read_instances
from reskeras.tasks.detection.annotations.coco_shapes import corners, outline
from reskeras.tasks.detection.annotations.folder import annotated_file, head_of, set_of
from reskeras.tasks.detection.cleaning import Annotated, AnnotatedSet, printable
from reskeras.tasks.detection.image_headers import StoredImage, look_at
from reskeras.tasks.detection.tally import Tally
from reskeras.walk import check_folder

PREFIX = "instances_"
ROLES = {"train": "train", "val": "validation", "test": "test"}  # by the beginning of what follows PREFIX
ROBOFLOW = "_annotations.coco.json"
LISTS = ('"images"', '"annotations"', '"categories"')
TRIED = 100  # file names that are tried to find the image folder


def is_coco(path: Path) -> bool:
    """Whether the folder at `path` holds COCO's JSON, by the names or the beginnings of its files."""
    files, lone = _by_split(path), _lone(path)
    return bool(files) or (len(lone) == 1 and any(name in head_of(lone[0]) for name in LISTS))


def read_coco(path: Path, purpose: Purpose) -> AnnotatedSet:
    """The annotated images of a COCO folder, by headers and annotations alone.

    annotations/instances_train*.json is for training, instances_test*.json for test, and instances_val*.json for test
    where no other has objects, else for training too; and so are _annotations.coco.json of train/, valid/ and test/. Of
    a single JSON, in annotations/ or in the folder itself, one image in five is for test, by a hash of its name, or all
    if `purpose` is testing. The images of instances_train2017.json are looked for in train2017/ and other folders
    called train*/, in the folder and in its images/, and in these two themselves.

    The classes are the categories of the training file by ascending id; those of a test file are matched by name.
    Objects have the boxes that they come with; those that have none have the box around their segmentation.

    Dropped, each counted in the notes: images that are missing, unreadable, or whose name leads out of the folder;
    objects without an image, a category or four finite numbers; boxes that are empty or wholly outside the image; in
    test, objects of classes that training does not have. Boxes that exceed the image are clipped, crowds (iscrowd) are
    ignored, images without objects are background, and an image's size is that of its file. Raises ReskerasError:
    status 2 for another kind of folder, for ids that are no whole numbers, names with backslashes and polygons of two
    points, or when nothing is left to train or test on; 1 for another kind of JSON, a broken one or one of more than
    2 GB.
    """
    check_folder(path)
    tally = Tally()
    read: dict[str, tuple[Path, Instances]] = {}
    for split, files in (_by_split(path) or {"": [_only(path)]}).items():
        for file in files:
            instances = read_instances(file)
            if instances.objects or split in ("", "train"):
                read[split] = file, instances
                break
            tally.said.append(f"{_named(path, file)} has no objects and is not used")
    parts = {split: _annotated_images(path, *each, tally) for split, each in read.items()}
    found = set_of("coco", path, None, parts, tally)
    learned = {image.part for image in found.train}
    classes = [name for split, (_, each) in read.items() if split in learned for name in each.classes]
    how = found.divided and f"the file {_named(path, read[found.test[0].part][0])}"
    return replace(found, classes=tuple(dict.fromkeys(classes)), divided=how)


def _by_split(path: Path) -> dict[str, list[Path]]:
    """The files of the splits, the training first; empty where no file names one."""
    found: dict[str, list[Path]] = {}
    for file in _matching(path / "annotations", f"{PREFIX}*.json"):
        tag = file.stem.removeprefix(PREFIX).casefold()
        if split := next((split for name, split in ROLES.items() if tag.startswith(name)), None):
            found.setdefault(split, []).append(file)
    for file in _matching(path, f"*/{ROBOFLOW}"):
        if (role := role_of(file.parent.name)) and not role[1]:
            found.setdefault(role[0], []).append(file)
    if len(train := found.get("train", ())) > 1:
        raise ReskerasError(
            f"data: {path} has {' and '.join(_named(path, file) for file in train)}; keep the one to train on"
        )
    return {split: found[split] for split in WORDS if split in found} if "train" in found or len(found) > 1 else {}


def _named(path: Path, file: Path) -> str:
    """A file by its name, or by its path where all are called the same."""
    return printable(file.name if file.name != ROBOFLOW else file.relative_to(path).as_posix())


def _lone(path: Path) -> list[Path]:
    """The JSON files one of which would be the only one."""
    return (
        _matching(path / "annotations", f"{PREFIX}*.json")
        or _matching(path / "annotations", "*.json")
        or _matching(path, f"*/{ROBOFLOW}")
        or _matching(path, "*.json")
    )


def _only(path: Path) -> Path:
    """The one JSON of a folder without splits."""
    lone = _lone(path)
    if len(lone) != 1:
        listed = f"it has {', '.join(printable(file.name) for file in lone[:5])}" if lone else "it has no JSON"
        raise ReskerasError(
            f"data: {path} is not a COCO folder: {listed}; expected annotations/instances_train*.json, "
            f"train/{ROBOFLOW} or a single JSON file"
        )
    return lone[0]


def _matching(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(file for file in folder.glob(pattern) if not file.name.startswith("."))
    except OSError as error:
        raise failure(f"data: {folder} cannot be read: {error.strerror}") from error


def _annotated_images(path: Path, file: Path, instances: Instances, tally: Tally) -> list[Annotated]:
    """The images of a JSON whose files exist, with their objects."""
    entries = _entries(instances, tally)
    objects: dict[int | str | None, list[int]] = {number: [] for number in entries}
    for place, each in enumerate(instances.objects):
        if (owner := key(each.get("image_id"))) in objects:
            objects[owner].append(place)
        else:
            tally.add("astray", printable(f"annotation {each.get('id')}"))
    names = {number: str(entry.get("file_name")) for number, entry in entries.items()}
    for name in names.values():
        if "\\" in name:
            raise ReskerasError(f"data: {file}: file_name {shown(name)} has backslashes; write paths with /")
    inside = {number: name for number, name in names.items() if _leads_inside(name)}
    folder = _image_folder(path, file, list(inside.values())[:TRIED])
    seen = look_at(folder / name for name in inside.values())
    found = []
    for number, name in names.items():
        image = seen.get(folder / name) if number in inside else None
        if image:
            one = _annotated(file, name, image, objects[number], instances, entries[number], tally)
            found.append(replace(one, id=number))
        else:
            tally.add("imageless" if number in inside else "outlying", printable(name))
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
    tag = file.stem.removeprefix(PREFIX)
    role = tag.rstrip("0123456789")
    tried = [file.parent] if file.name == ROBOFLOW else [path / tag, path / "images" / tag]
    if file.stem.startswith(PREFIX) and role:
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
    file: Path,
    name: str,
    image: StoredImage,
    places: list[int],
    instances: Instances,
    entry: dict[str, Any],
    tally: Tally,
) -> Annotated:
    """One image with its objects, which are at `places` in the JSON."""
    where, objects = printable(name), [instances.objects[place] for place in places]
    boxes = [corners(each.get("bbox")) for each in objects]
    for row, (place, each) in enumerate(zip(places, objects, strict=True)):
        if not each.get("bbox") and each.get("segmentation"):
            boxes[row] = outline(each["segmentation"], f"{file}, annotations[{place}]")
            tally.add("outlined", where)
    categories = [each.get("category_id") for each in objects]
    return annotated_file(
        name,
        where,
        image,
        boxes,
        [instances.names.get(number) if type(number) is int else None for number in categories],
        tally,
        said=_size(entry),
        crowd=[each.get("iscrowd") in (1, True) for each in objects],
    )
