"""`voc:PATH`: Pascal VOC's XML, as VOC itself lays it out, or beside the images as Roboflow and labelImg do."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from reskeras.bounded import read_bounded
from reskeras.data.layout import WORDS, role_of
from reskeras.data.purpose import Purpose
from reskeras.errors import ReskerasError, failure
from reskeras.tasks.detection.annotations.folder import children_of, set_of
from reskeras.tasks.detection.annotations.voc_xml import Annotation, read_annotation
from reskeras.tasks.detection.cleaning import Annotated, AnnotatedSet, as_shown, printable
from reskeras.tasks.detection.image_headers import StoredImage, file_reader, look_at
from reskeras.tasks.detection.tally import Tally
from reskeras.walk import SUFFIXES, check_folder

LISTS = ("train", "val", "trainval", "test")
LARGEST_LIST = 100_000_000  # bytes
FOLDERS = {"annotations": ("jpegimages", "images")}  # of the XML, and of its images; in any case
Pair = tuple[Path, Path]  # the folder of the XML, and that of the images


def is_voc(path: Path) -> bool:
    """Whether the folder at `path` holds VOC's XML."""
    return any(_annotations(pair) for pair in _pairs(path).values())


def read_voc(path: Path, purpose: Purpose) -> AnnotatedSet:
    """The annotated images of a VOC folder, by headers and annotations alone: a few seconds for VOC 2007.

    The XML is in Annotations/ and the images in JPEGImages/ or images/, in any case; or both are beside each other, in
    the folder or in those of its splits, such as Roboflow's train/, valid/ and test/.

    With a list test.txt, training is trainval.txt, else train.txt and val.txt together. Without one that names
    annotated images, val.txt is for test and train.txt for training. Without that, one image in five is for test, by a
    hash of its name, or all if `purpose` is testing; without lists every annotation is used. Of folders, valid/ is for
    test where there is no test/, else for training. The classes are the names that occur in training, sorted.

    Dropped, each counted in the notes: annotations that are not XML, have a DOCTYPE or more than 10 MB; images that are
    missing, unreadable, or have no annotation; objects without a name or four finite numbers; boxes that are empty or
    wholly outside the image; in test, objects of classes that training does not have. Boxes that exceed the image are
    clipped, difficult objects are ignored, images without objects are background, and an image's size is that of its
    file. Raises ReskerasError: status 2 for another kind of folder, or when nothing is left to train or test on; 1 for
    a folder or list that cannot be read.
    """
    tally, pairs = Tally(), _pairs(path)
    if not pairs:
        raise _lacking(path)
    if "" in pairs:
        return _of_lists(path, pairs[""], tally)
    parts = {}
    for split, pair in pairs.items():
        annotations = _annotations(pair)
        found = _found([*annotations], annotations, _images(pair[1]), tally)
        parts[split] = [replace(image, id=f"{pair[0].name}/{image.id}") for image in found.values()]
    return set_of("voc", path, None, parts, tally)


def _of_lists(path: Path, pair: Pair, tally: Tally) -> AnnotatedSet:
    """The set of one folder of XML, divided by the lists of ImageSets/Main if there are any."""
    annotations, images = _annotations(pair), _images(pair[1])
    lists = {name: _list(path / "ImageSets" / "Main" / f"{name}.txt") for name in LISTS}
    if lists["test"] and not any(name in annotations for name in lists["test"]):
        tally.said.append("test.txt names no annotated image and is not used")
        lists["test"] = None
    train_names, test_names, how = _divided(lists, annotations)
    train_names, test_names = _once(train_names, tally), _once(test_names, tally)
    found = _found([*train_names, *test_names], annotations, images, tally)
    held, listed = set(lists["val"] or ()), any(lists.values())
    tested = "test" if lists["test"] else "validation"

    def part(names: list[str], split: str) -> list[Annotated]:
        each = {name: "validation" if split == "train" and name in held else split for name in names}
        return [replace(found[name], part=each[name] if listed else "") for name in names if name in found]

    return AnnotatedSet(
        f"voc:{path}",
        path.absolute().name,
        None,
        part(train_names, "train"),
        part(test_names, tested),
        how,
        file_reader,
        tally=tally,
    )


def _pairs(path: Path) -> dict[str, Pair]:
    """Where XML and images are, by split; the only split is "" where there are no folders of splits."""
    check_folder(path)
    if pair := _pair(path):
        return {"": pair}
    found: dict[str, Pair] = {}
    for child in children_of(path):
        role = role_of(child.name) if child.is_dir() else None
        if role and not role[1] and (pair := _pair(child)):
            if role[0] in found:
                raise ReskerasError(f"data: {path} has two folders of {WORDS[role[0]]} images; keep one")
            found[role[0]] = pair
    return found


def _pair(folder: Path) -> Pair | None:
    """The folders of the XML and of the images in one folder, which may be that folder itself."""
    children = children_of(folder)
    inside = {child.name.casefold(): child for child in children if child.is_dir()}
    for xml, names in FOLDERS.items():
        images = next((inside[name] for name in names if name in inside), None)
        if xml in inside and images:
            return inside[xml], images
    return (folder, folder) if any(_is_xml(child) for child in children) else None


def _lacking(path: Path) -> ReskerasError:
    """The refusal of a folder without XML, by what it lacks."""
    inside = {child.name.casefold() for child in children_of(path) if child.is_dir()}
    if "annotations" in inside:
        return ReskerasError(f"data: {path} is not a VOC folder: it has no JPEGImages folder")
    inner = [child for child in children_of(path) if child.is_dir() and _pair(child)]
    hint = f"; did you mean {inner[0]}?" if inner else ""
    return ReskerasError(f"data: {path} is not a VOC folder: it has no Annotations folder of XML files{hint}")


def _is_xml(file: Path) -> bool:
    return file.suffix.lower() == ".xml"


def _annotations(pair: Pair) -> dict[str, Path]:
    """The annotation files by their paths without suffix."""
    deep = pair[0] != pair[1]
    return {_name(file.with_suffix(""), pair[0]): file for file in _files(pair[0], deep) if _is_xml(file)}


def _images(folder: Path) -> dict[str, list[Path]]:
    """The image files by their paths, and by these without suffix."""
    images: dict[str, list[Path]] = {}
    for file in _files(folder, deep=True):
        if file.suffix.lower() in SUFFIXES:
            images.setdefault(_name(file.with_suffix(""), folder), []).append(file)
            images.setdefault(_name(file, folder), []).append(file)
    return images


def _name(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


def _files(folder: Path, deep: bool) -> list[Path]:
    """The files of a folder that are not hidden, and if `deep` of its sub-folders, as CVAT has them."""
    found, waiting = [], [folder]
    while waiting:
        children = children_of(waiting.pop())
        found += [child for child in children if not child.is_dir()]
        waiting += [child for child in children if deep and child.is_dir() and not child.is_symlink()]
    return sorted(found)


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
    Only files of the folder of images are considered, so that no name leads out of the folder."""
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
