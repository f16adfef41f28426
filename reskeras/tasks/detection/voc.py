"""`voc:PATH`: a folder as Pascal VOC lays it out, Annotations/, JPEGImages/ and the lists of ImageSets/Main/."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from reskeras.bounded import read_bounded
from reskeras.data.purpose import Purpose
from reskeras.data.source import Source
from reskeras.errors import ReskerasError, failure
from reskeras.tasks.detection.cleaning import Annotated, AnnotatedSet, as_shown, cleaned_source, printable
from reskeras.tasks.detection.image_headers import StoredImage, file_reader, look_at
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.detection.tally import Tally
from reskeras.tasks.detection.voc_xml import Annotation, read_annotation
from reskeras.walk import SUFFIXES

LISTS = ("train", "val", "trainval", "test")
LARGEST_LIST = 100_000_000  # bytes


def open_voc(path: Path, purpose: Purpose) -> Source[Objects]:
    """The annotated images of a VOC folder, by headers and annotations alone: a few seconds for VOC 2007.

    With a list test.txt, training is trainval.txt, else train.txt and val.txt together. Without one that names
    annotated images, val.txt is for test and train.txt for training. Without that, one image in five is for test, by a
    hash of its name, or all if `purpose` is testing; without lists every annotation is used. The classes are the names
    that occur in training, sorted.

    Dropped, each counted in the notes: annotations that are not XML, have a DOCTYPE or more than 10 MB; images that are
    missing, unreadable, or have no annotation; objects without a name or four finite numbers; boxes that are empty or
    wholly outside the image; in test, objects of classes that training does not have. Boxes that exceed the image are
    clipped, difficult objects are ignored, images without objects are background, and an image's size is that of its
    file. Raises ReskerasError: status 2 for another kind of folder, or when nothing is left to train or test on; 1 for
    a folder or list that cannot be read.
    """
    tally = Tally()
    annotations, images = _annotations(path), _images(path)
    lists = {name: _list(path / "ImageSets" / "Main" / f"{name}.txt") for name in LISTS}
    if lists["test"] and not any(name in annotations for name in lists["test"]):
        tally.said.append("test.txt names no annotated image and is not used")
        lists["test"] = None
    train_names, test_names, divided = _divided(lists, annotations)
    train_names, test_names = _once(train_names, tally), _once(test_names, tally)
    found = _found([*train_names, *test_names], annotations, images, tally)
    train, test = ([found[name] for name in names if name in found] for names in (train_names, test_names))
    annotated = AnnotatedSet(f"voc:{path}", path.absolute().name, None, train, test, divided, file_reader)
    return cleaned_source(annotated, tally, purpose)


def _annotations(path: Path) -> dict[str, Path]:
    """The annotation files by their stems."""
    folder = path / "Annotations"
    if not path.is_dir():
        raise ReskerasError(f"data: folder not found: {path}")
    if not folder.is_dir():
        inner = [child.name for child in _children(path) if (child / "Annotations").is_dir()]
        hint = f"; did you mean {path / inner[0]}?" if inner else ""
        raise ReskerasError(f"data: {path} is not a VOC folder: it has no Annotations folder of XML files{hint}")
    return {file.stem: file for file in _children(folder) if file.suffix.lower() == ".xml"}


def _images(path: Path) -> dict[str, list[Path]]:
    """The image files by their names, and by their stems."""
    folder = path / "JPEGImages"
    if not folder.is_dir():
        raise ReskerasError(f"data: {path} is not a VOC folder: it has no JPEGImages folder")
    images: dict[str, list[Path]] = {}
    for file in _children(folder):
        if file.suffix.lower() in SUFFIXES:
            images.setdefault(file.stem, []).append(file)
            images.setdefault(file.name, []).append(file)
    return images


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    except OSError as error:
        raise failure(f"data: {folder} cannot be read: {error.strerror}") from error


def _list(file: Path) -> list[str] | None:
    """The names in a list file, in order; None if there is no such file."""
    if not file.is_file():
        return None
    try:
        lines = os.fsdecode(read_bounded(file, LARGEST_LIST)).split("\n")
    except (OSError, ValueError) as error:
        raise failure(f"data: {file} cannot be read: {error}") from error
    return [line.strip() for line in lines if line.strip()]


def _once(names: list[str], tally: Tally) -> list[str]:
    counts = Counter(names)  # in the order of `names`
    for name, count in counts.items():
        if count > 1:
            tally.add("twice", printable(name))
    return list(counts)


def _divided(lists: dict[str, list[str] | None], annotations: dict[str, Path]) -> tuple[list[str], list[str], str]:
    """Training names, test names, and the origin of the latter; empty if all are still to be split."""
    train, val, both, test = (lists[name] for name in LISTS)
    if test:
        return both or [*(train or ()), *(val or ())], test, "the list test.txt"
    if val and train:
        return train, val, "the list val.txt"
    if val and both:
        held = set(val)
        return [name for name in both if name not in held], val, "the list val.txt"
    return both or train or val or sorted(annotations), [], ""


def _found(
    names: list[str], annotations: dict[str, Path], images: dict[str, list[Path]], tally: Tally
) -> dict[str, Annotated]:
    """The named images that have both an annotation and a file."""
    read: dict[str, tuple[Annotation, Path | None]] = {}
    for name in dict.fromkeys(names):
        if name not in annotations:
            tally.add("unlisted", printable(name))
            continue
        try:
            annotation = read_annotation(annotations[name])
        except ValueError as error:
            tally.add("unread", f"{printable(annotations[name].name)} ({error})")
            continue
        read[name] = annotation, _image(name, annotation.filename, images)
    seen = look_at(file for _, file in read.values() if file)
    found = {}
    for name, (annotation, file) in read.items():
        if file in seen:
            found[name] = _annotated(name, printable(annotations[name].name), annotation, seen[file], tally)
        else:
            tally.add("imageless", printable(file.name if file else name))
    return found


def _image(name: str, filename: str | None, images: dict[str, list[Path]]) -> Path | None:
    """The image of an annotation: the file with its stem, of several the one that it names; else the one that it names.
    Only files of JPEGImages are considered, so that no name leads out of the folder."""
    same = images.get(name, ())
    named = images.get(filename or "", ())
    return next((file for file in same if file in named), None) or next(iter([*same, *named]), None)


def _annotated(name: str, where: str, annotation: Annotation, image: StoredImage, tally: Tally) -> Annotated:
    boxes = as_shown(annotation.boxes, annotation.size, image.header, where, tally)
    return Annotated(
        id=name,
        where=where,
        stored=image,
        size=image.size,
        boxes=boxes,
        names=annotation.names,
        ignored=annotation.difficult,
        crowd=annotation.difficult & False,
    )
