"""`openimages:PATH`: Open Images' tables of boxes, a row for each, with the images in folders beside them."""

from __future__ import annotations

import csv
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from reskeras.data.purpose import Purpose
from reskeras.errors import ReskerasError, failure, shown
from reskeras.tasks.detection.annotations.folder import (
    annotated_file,
    head_of,
    images_of,
    relative,
    set_of,
    share,
    split_in,
    split_of,
    walked,
)
from reskeras.tasks.detection.cleaning import Annotated, AnnotatedSet, class_name
from reskeras.tasks.detection.image_headers import look_at
from reskeras.tasks.detection.tally import Tally

IMAGE, LABEL, GROUP = "ImageID", "LabelName", "IsGroupOf"
SIDES = ("YMin", "XMin", "YMax", "XMax")
COLUMNS = (IMAGE, LABEL, *SIDES)
NAMES = ("class-descriptions", "classes", "class_descriptions")  # beginnings of the files that name the labels
LARGEST_FILE = 4_000_000_000  # bytes; that of all training boxes has 2.3 GB, and is read line by line


@dataclass
class Rows:
    """The boxes of one image, as shares of its sides, with their labels and whether each is around a group."""

    boxes: list[tuple[float, ...]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    groups: list[bool] = field(default_factory=list)


def is_open_images(path: Path) -> bool:
    """Whether the folder at `path` holds a table with the columns of Open Images' boxes."""
    _, files = walked(path)
    return any(_is_table(file) for file in files)


def read_open_images(path: Path, purpose: Purpose) -> AnnotatedSet:
    """The annotated images of an Open Images folder, by headers and tables alone.

    Boxes are in every .csv with the columns ImageID, LabelName, XMin, XMax, YMin and YMax (shares of the image's
    sides), images in files called after their ids, at any depth. The split is the one in the table's name, such as
    validation-annotations-bbox.csv, or in the folders above it. Labels such as /m/01g317 are named by a
    class-descriptions*.csv or classes.csv, where there is one, in whose order the classes are. Boxes around groups
    (IsGroupOf) are crowds. Rows of images that are not there are counted by their images, and so are images without a
    row, which nobody has looked at: Open Images lists only those with boxes.

    Raises ReskerasError, status 2, that names the line and the rule: numbers that are no shares, a label without a
    name, two images with one id in the same split; 1 for a table that cannot be read.
    """
    tally = Tally()
    walk, files = walked(path)
    tables = [file for file in files if _is_table(file)]
    if not tables:
        raise ReskerasError(f"data: {path} is not an Open Images folder: no .csv has the columns {', '.join(COLUMNS)}")
    names = _names(files)
    by_id = _by_id(images_of(files))
    read: dict[str, dict[str, Rows]] = {}
    for table in tables:
        split = split_in(table.stem) or split_of(table.relative_to(path))
        _read(table, names, by_id, read.setdefault(split, {}), tally)
    images = {split: {number: _image(by_id[number], split, path) for number in rows} for split, rows in read.items()}
    seen = look_at(image for each in images.values() for image in each.values())
    parts: dict[str, list[Annotated]] = {}
    for split, rows in read.items():
        for number, found in rows.items():
            image = images[split][number]
            if image not in seen:
                tally.add("imageless", relative(image, path))
                continue
            boxes = [
                [side * size for side, size in zip(box, (*seen[image].size,) * 2, strict=True)] for box in found.boxes
            ]
            one = annotated_file(
                number, relative(image, path), seen[image], boxes, found.labels, tally, crowd=found.groups
            )
            parts.setdefault(split, []).append(one)
    used = {image for each in images.values() for image in each.values()}
    for image in images_of(files):
        if image not in used:
            tally.add("unlabelled", relative(image, path))
    tally.said += walk.left_out.notes()
    occurring = {name for each in parts.values() for image in each for name in image.names}
    classes = tuple(name for name in dict.fromkeys(names.values()) if name in occurring) if names else None
    return set_of("openimages", path, classes, parts, tally)


def _is_table(file: Path) -> bool:
    if file.suffix.lower() != ".csv":
        return False
    return set(COLUMNS) <= set(head_of(file).partition("\n")[0].strip().lstrip("\ufeff").split(","))


@contextmanager
def _cells(file: Path) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """The lines of a table with their numbers, read one by one."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_FILE:
            raise failure(f"data: {file} is larger than {LARGEST_FILE:,} bytes, or not a regular file")
        with open(file, newline="", encoding="utf-8-sig") as opened:
            reader = csv.reader(opened)
            yield ((reader.line_num, row) for row in reader if row)
    except UnicodeDecodeError as error:
        raise failure(f"data: {file} is not UTF-8 text") from error
    except (OSError, csv.Error) as error:
        raise failure(f"data: {file} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _names(files: list[Path]) -> dict[str, str]:
    """The names of labels, by the first table that has them; empty where none does."""
    for file in files:
        if file.suffix.lower() == ".csv" and file.stem.lower().startswith(NAMES) and not _is_table(file):
            found: dict[str, str] = {}
            with _cells(file) as rows:
                for line, row in rows:
                    if line == 1 and row[0] == LABEL:  # some have a header
                        continue
                    if len(row) != 2 or (name := class_name(row[1])) is None:
                        raise ReskerasError(f"data: {file}, line {line}: should be a label and its name")
                    found[row[0]] = name
            return found
    return {}


def _by_id(images: list[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for image in images:
        found.setdefault(image.stem, []).append(image)
    return found


def _read(
    table: Path, names: dict[str, str], by_id: dict[str, list[Path]], found: dict[str, Rows], tally: Tally
) -> None:
    """Add the rows of a table, of the images that are there, to `found`."""
    missing: set[int] = set()  # hashes, because a table may list a hundred times as many images as are there
    with _cells(table) as rows:
        _, header = next(rows)
        places = {name: place for place, name in enumerate(header)}
        for line, row in rows:
            where = f"{table}, line {line}"
            if len(row) != len(header):
                raise ReskerasError(f"data: {where}: has {len(row)} cells, but the header has {len(header)}")
            cells = {name: row[place] for name, place in places.items()}
            number, label = cells[IMAGE], cells[LABEL]
            if number not in by_id:
                missing.add(hash(number))
                continue
            if names and label not in names:
                raise ReskerasError(f"data: {where}: {LABEL} {shown(label)} is not in the table of class names")
            each = found.setdefault(number, Rows())
            each.boxes.append(tuple(share(cells[side], f"{where}, {side}") for side in SIDES))
            each.labels.append(names.get(label, label))
            each.groups.append(cells.get(GROUP) == "1")
    tally.add("imageless", count=len(missing))


def _image(images: list[Path], split: str, path: Path) -> Path:
    """The image of an id: the only one, or the only one below a folder of the split."""
    if len(images) > 1 and split:
        images = [image for image in images if split_of(image.relative_to(path)) == split] or images
    if len(images) > 1:
        raise ReskerasError(f"data: {images[0]} and {images[1]} have the same id; keep one of the two")
    return images[0]
