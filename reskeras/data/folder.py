"""`folder:PATH`: one sub-folder a class, with or without train/ and test/ folders above them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import tensorflow as tf

from reskeras.data.checked import Checked, check_files
from reskeras.data.decode import decode, read_stored
from reskeras.data.source import Source, Split, split_by_class
from reskeras.errors import ReskerasError, failure

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"}
TEST_NAMES = ("test", "val", "valid", "validation")
TEST_SHARE = 0.2
NAMED = 5  # files left out that are named

Files = dict[str, list[Path]]


def open_folder(path: Path) -> Source:
    """The images below `path`. Each is decoded once (`check_files` remembers it), so that one which cannot
    be read is named, skipped and counted now and not in the middle of training.

    Without a test/ (or val/, valid/, validation/) folder one image in five of each class is for test, always
    the same ones. Raises ReskerasError for a missing folder, no classes, or a class without an image.
    """
    train_folder, test_folder, notes = _layout(path)
    found = _class_files(train_folder)
    test_found = _class_files(test_folder) if test_folder else {}
    if strange := sorted(set(test_found) - set(found)):
        raise ReskerasError(f"data: class {strange[0]} is in {test_folder} and not in {train_folder}")
    everything = [file for files in (*found.values(), *test_found.values()) for file in files]
    readable, left_out = _readable(path, everything)
    notes += left_out
    grey = bool(readable) and all(file.mode == "L" for file in readable.values())
    classes, channels = tuple(sorted(found)), 1 if grey else 3
    train_files, train_labels = _examples(found, classes, readable)
    _every_class_has_images(classes, train_labels, path)
    if test_folder:
        test_files, test_labels = _examples(test_found, classes, readable)
        if not test_files:
            raise ReskerasError(f"data: {test_folder} has no image that can be read")
        train = _split("train", train_files, train_labels, channels, readable)
        test = _split("test", test_files, test_labels, channels, readable)
        divided = f"the folder {test_folder.name}"
    else:
        whole = _split("all", train_files, train_labels, channels, readable)
        train_indices, test_indices = split_by_class(train_labels, TEST_SHARE)
        if not len(test_indices):
            raise ReskerasError(f"data: {path} has one image a class; at least two are needed, one of them for test")
        train, test = whole.part("train", train_indices), whole.part("test", test_indices)
        divided = "one in five of each class, always the same"
        notes.append(f"no test folder: {len(test_indices)} of {len(train_labels)} images are kept for test")
    return Source(name=f"folder:{path}", label=path.absolute().name, classes=classes, channels=channels,
                  train=train, test=test, notes=tuple(notes), divided=divided)


def _layout(path: Path) -> tuple[Path, Path | None, list[str]]:
    """The folder that holds the training classes, the one for test if there is one, and what to tell."""
    below = _sub_folders(path)
    test = next((name for name in TEST_NAMES if name in below), None)
    if "train" in below and test:
        unused = sorted(set(below) - {"train", test})
        return below["train"], below[test], [f"not used: the folders {', '.join(unused)}"] if unused else []
    if set(below) == {"train"}:
        return below["train"], None, []
    if set(below) <= set(TEST_NAMES):
        raise ReskerasError(f"data: {path} has {' and '.join(sorted(below))}, but no folder train beside it")
    return path, None, []


def _sub_folders(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ReskerasError(f"data: there is no folder {folder}")
    try:
        below = {child.name: child for child in sorted(folder.iterdir())
                 if child.is_dir() and not child.name.startswith(".")}
    except OSError as error:
        raise failure(f"data: {folder} cannot be read: {error.strerror}") from error
    if not below:
        raise ReskerasError(f"data: {folder} has no sub-folders; each class is a folder of images")
    for name in below:
        if name.splitlines() != [name] or not _printable(name):  # classes.txt keeps a name on a line, as UTF-8
            raise ReskerasError(f"data: {folder} has a sub-folder {name!r}, which cannot be the name of a class")
    return below


def _printable(name: str) -> bool:
    """Whether a name is text: bytes of a file name that are no UTF-8 come as lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _class_files(folder: Path) -> Files:
    """The files of each class, at any depth; rglob follows no links to folders, so that none loops."""
    return {name: sorted(file for file in child.rglob("*") if not file.name.startswith(".") and file.is_file())
            for name, child in _sub_folders(folder).items()}


def _readable(folder: Path, files: list[Path]) -> tuple[dict[Path, Checked], list[str]]:
    """Files that can be decoded, and what to tell about the others."""
    images = [file for file in files if file.suffix.lower() in SUFFIXES]
    others = [file for file in files if file.suffix.lower() not in SUFFIXES]
    checked = check_files(folder, images)
    skipped = [file for file in images if checked[file].mode is None]
    notes = []
    if skipped:
        notes.append(f"skipped {len(skipped)} of {len(images)} images that cannot be read: {_listed(skipped)}")
    if others:
        kinds = " ".join(sorted(SUFFIXES))
        notes.append(f"left out {len(others)} files that are none of {kinds}: {_listed(others)}")
    return {file: entry for file, entry in checked.items() if entry.mode is not None}, notes


def _listed(files: list[Path]) -> str:
    more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
    return ", ".join(os.fsencode(file).decode("utf-8", "backslashreplace") for file in files[:NAMED]) + more


def _examples(files: Files, classes: tuple[str, ...], readable: dict[Path, Checked]) -> tuple[list[str], np.ndarray]:
    pairs = [(str(file), label) for label, name in enumerate(classes) for file in files.get(name, ())
             if file in readable]
    return [file for file, _ in pairs], np.array([label for _, label in pairs], np.int32)


def _every_class_has_images(classes: tuple[str, ...], labels: np.ndarray, path: Path) -> None:
    counts = np.bincount(labels, minlength=len(classes)) if len(labels) else np.zeros(len(classes), int)
    for name, count in zip(classes, counts, strict=True):
        if not count:
            raise ReskerasError(f"data: class {name} of {path} has no image that can be read "
                                f"({', '.join(sorted(SUFFIXES))})")


def _split(
    name: str, files: list[str], labels: np.ndarray, channels: int, checked: dict[Path, Checked],
) -> Split:
    paths, targets = tf.constant(files), tf.constant(labels)
    sizes = tf.constant([checked[Path(file)].size for file in files], tf.int32)

    def encoded(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return read_stored(tf.gather(paths, index), tf.gather(sizes, index)), tf.gather(targets, index)

    def load(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        data, label = encoded(index)
        return decode(data, channels), label

    return Split(name, len(files), load, encoded=encoded, label=lambda indices: tf.gather(targets, indices),
                 where=files.__getitem__, checked=True)
