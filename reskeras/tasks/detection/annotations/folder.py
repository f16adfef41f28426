"""Folders of annotated images from elsewhere: the paths that their files name, and the splits that they come in."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from reskeras.bounded import read_bounded
from reskeras.data.layout import WORDS, role_of
from reskeras.errors import ReskerasError, failure, shown
from reskeras.tasks.detection.cleaning import Annotated, AnnotatedSet, as_shown, printable
from reskeras.tasks.detection.image_headers import StoredImage, file_reader
from reskeras.tasks.detection.tally import Tally
from reskeras.walk import Walk, check_folder, is_hidden, is_image

HEAD = 1 << 16  # bytes of a JSON by which its kind is recognised
SLACK = 0.01
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def children_of(folder: Path) -> list[Path]:
    """What a folder holds and is not hidden, sorted; `failure` where it cannot be read."""
    try:
        return sorted(child for child in folder.iterdir() if not is_hidden(child.name))
    except OSError as error:
        raise failure(f"data: {folder} cannot be read: {error.strerror}") from error


def walked(path: Path) -> tuple[Walk, list[Path]]:
    """A walk over the folder at `path`, and its files at any depth, sorted. ReskerasError as `check_folder` raises it;
    `failure` for a folder that cannot be read."""
    check_folder(path)
    walk = Walk(path)
    return walk, walk.files(path)


def file_named(root: Path, folder: Path, name: object, where: str) -> Path:
    """The file that `name` means from `folder`, by what stands in an untrusted file at `where`.

    ReskerasError (status 2) for what is no path, has backslashes, or leads out of `root`; no link is resolved.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise ReskerasError(f"data: {where}: {shown(name)} is not a path")
    if "\\" in name:
        raise ReskerasError(f"data: {where}: {shown(name)} has backslashes; write paths with /")
    place = os.path.normpath(os.path.join(os.path.abspath(folder), name))
    above = os.path.abspath(root)
    if not place.startswith(os.path.join(above, "")):
        raise ReskerasError(f"data: {where}: {shown(name)} leads out of {root}")
    return root / os.path.relpath(place, above)


def head_of(file: Path) -> str:
    """The beginning of a file as text; empty where it cannot be read."""
    try:
        with open(file, "rb") as opened:
            return opened.read(HEAD).decode("utf-8", "replace")
    except OSError:
        return ""


def read_lines(file: Path, largest: int) -> list[str]:
    """The lines of a text file. ReskerasError (status 1) where it cannot be read, or has more than `largest` bytes."""
    try:
        return read_bounded(file, largest).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise failure(f"data: {file} is not UTF-8 text") from error
    except (OSError, ValueError) as error:
        raise failure(f"data: {file} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def read_json_object(text: bytes | str, where: str) -> dict[str, Any]:
    """JSON text of an object; ReskerasError (status 1) that names `where` for anything else."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError, MemoryError) as error:
        raise failure(f"data: {where} cannot be read as JSON: {str(error)[:200] or 'too large'}") from error
    if not isinstance(data, dict):
        raise failure(f"data: {where} is not a JSON object")
    return data


def split_of(relative: Path) -> str:
    """The split that a file belongs to by the folders above it, `train`, `validation` or `test`; empty where none is
    called so. Of several the outermost counts."""
    for folder in relative.parts[:-1]:
        if (role := role_of(folder)) and not role[1]:
            return role[0]
    return ""


def split_in(name: str) -> str:
    """The split that the name of a file tells, such as `validation-annotations-bbox`; empty where none does."""
    role = role_of(name)
    return role[0] if role else ""


def share(text: str, where: str) -> float:
    """A share of an image's side that stands at `where`; ReskerasError (status 2) for anything else. It may leave 0 to
    1 by SLACK, from rounding: boxes are clipped."""
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    if not -SLACK <= value <= 1 + SLACK:
        raise ReskerasError(f"data: {where}: {shown(text)} should be a share of the image's side, a number from 0 to 1")
    return value


def pixels(points: Iterable[Sequence[float]]) -> tuple[float, float, float, float]:
    """The box around points (x, y): top, left, bottom, right."""
    x, y = np.array(list(points), np.float64).T
    return float(y.min()), float(x.min()), float(y.max()), float(x.max())


def annotated_file(
    name: str,
    where: str,
    image: StoredImage,
    boxes: Sequence[Sequence[float]] | np.ndarray,
    names: Sequence[str | None],
    tally: Tally,
    *,
    said: tuple[Any, Any] | None = None,
    crowd: Sequence[bool] | np.ndarray | None = None,
) -> Annotated:
    """One image file with its objects: boxes (k, 4) top, left, bottom, right in pixels, of an image of the size `said`
    (height, width) where the annotation tells it; `crowd` objects are ignored."""
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    crowds = np.zeros(len(corners), bool) if crowd is None else np.array(crowd, bool).reshape(-1)
    return Annotated(
        id=name,
        where=where,
        stored=image,
        size=image.size,
        boxes=as_shown(corners, said, image.header, where, tally),
        names=tuple(names),
        ignored=crowds,
        crowd=crowds,
    )


def divided(parts: Mapping[str, list[Annotated]], tally: Tally) -> tuple[list[Annotated], list[Annotated], str]:
    """Training images, test images, and in words where these come from, of the splits that a set has itself.

    Validation images are for test where there are no others with objects, and for training where there are, as VOC's
    trainval. Images of no split belong to training, and a set of one split is undivided.
    """
    parts = {split: [replace(image, part=split) for image in images] for split, images in parts.items() if images}
    train, validation, test = (parts.get(split, []) for split in WORDS)
    train = [*parts.get("", []), *train]
    if test and (train or validation) and not any(image.names for image in test):
        tally.said.append(f"the set's test images ({len(test):,}) have no objects and are not used")
        test = []
    if not train and not (validation and test):
        return validation or test, [], ""
    if test:
        return [*train, *validation], test, "the set's test images"
    return train, validation, "the set's validation images" if validation else ""


def set_of(
    kind: str, path: Path, classes: tuple[str, ...] | None, parts: Mapping[str, list[Annotated]], tally: Tally
) -> AnnotatedSet:
    """The set of annotated files that is called `kind`:`path`."""
    train, test, how = divided(parts, tally)
    found = AnnotatedSet(f"{kind}:{path}", path.absolute().name, classes, train, test, how, file_reader, tally=tally)
    joined = sum(image.part == "validation" for image in train) if test and parts.get("train") else 0
    if not joined:
        return found
    told = f"training includes the set's validation images ({joined:,}), because it has separate test images"
    return replace(found, remarks=(told,))


def images_of(files: Iterable[Path]) -> list[Path]:
    """The image files among `files`, by their suffixes."""
    return [file for file in files if is_image(file)]


def relative(path: Path, root: Path) -> str:
    """A file as notes name it: by its path from `root`, printable."""
    return printable(path.relative_to(root).as_posix())
