"""`npz:PATH`: NumPy's archive of arrays x_train, y_train, x_test, y_test, as of keras.datasets, or x and y alone."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import replace
from math import prod
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.lib import format as npy

from reskeras.bounded import check_archive
from reskeras.data.arrays import InMemory, Part
from reskeras.data.given import made, part_of_arrays
from reskeras.data.pixels import Levels, check_room
from reskeras.data.purpose import Purpose
from reskeras.data.source import Source, Split
from reskeras.errors import ReskerasError, failure

PAIRS = {
    "train": [("x_train", "y_train"), ("x", "y")],
    "validation": [("x_val", "y_val")],
    "test": [("x_test", "y_test")],
}
CLASSES = "classes"  # names of the classes, if the file has them
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
BROKEN = (  # NumPy reads headers as Python literals
    *(OSError, ValueError, EOFError, KeyError, TypeError, MemoryError, OverflowError, zipfile.BadZipFile, zlib.error),
    *(SyntaxError, RecursionError, TokenError),
)


def open_npz(path: Path, purpose: Purpose) -> Source[Split]:
    """The images and labels of the archive at `path`, which are as `request.source` takes them as arrays.

    Nothing in it is executed: arrays of Python objects are refused. Raises ReskerasError: status 2 for a file without
    such arrays, and for arrays that are refused; status 1 for a broken one and one that unpacks to far more than it is.
    """
    if not path.is_file():
        raise ReskerasError(f"data: file not found: {path}")
    try:
        check_archive(path, "data")
        _check_headers(path)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name in _names()}
    except BROKEN as error:
        raise failure(f"data: {path} is broken: {' '.join(str(error).split()) or type(error).__name__}") from error
    try:
        return _in_memory(path, arrays, purpose.testing is not None).source(purpose)
    except ReskerasError as error:
        raise ReskerasError(f"{error} (in {path})", error.status) from error


def _in_memory(path: Path, arrays: dict[str, np.ndarray], testing: bool) -> InMemory:
    """The pairs of images and labels among `arrays`."""
    parts: dict[str, Part] = {}
    levels = Levels()
    for split, pairs in PAIRS.items():
        for images, labels in pairs:
            if (images in arrays) != (labels in arrays):
                has, lacks = (images, labels) if images in arrays else (labels, images)
                raise ReskerasError(f"data: has {has}, but not {lacks}; give both, or neither")
            if images in arrays and split not in parts:
                parts[split] = part_of_arrays((arrays[images], arrays[labels]), (images, labels), levels)
    if testing and "test" in parts and "train" not in parts:
        parts = {"train": parts["test"]}  # all images are for test then
    if "train" not in parts:
        has = ", ".join(sorted(arrays)) or "none"
        raise ReskerasError(f"data: arrays x_train and y_train are needed, or x and y; there are {has}")
    notes = [*filter(None, [levels.note(path.name)])]
    classes = np.ravel(arrays[CLASSES]).tolist() if CLASSES in arrays else None
    return replace(made(f"npz:{path}", "", parts, notes, classes), label=path.name)


def _names() -> set[str]:
    return {CLASSES, *(name for pairs in PAIRS.values() for pair in pairs for name in pair)}


def _check_headers(path: Path) -> None:
    """Check the arrays that headers promise before NumPy makes room for them: a small file may promise terabytes."""
    total = 0
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            if name not in _names():
                continue
            with archive.open(entry) as file:
                version = npy.read_magic(file)
                if version not in HEADERS:
                    raise ValueError(f"{name} has version {version} of the format")
                shape, _, dtype = HEADERS[version](file)
            if dtype.hasobject:
                raise ReskerasError(f"data: {path}: {name} has Python objects, which are not read")
            size = prod(shape) * dtype.itemsize
            if size > entry.file_size:
                raise ValueError(f"{name} promises {size:,} bytes and has {entry.file_size:,}")
            total += size
    check_room(total, str(path))
