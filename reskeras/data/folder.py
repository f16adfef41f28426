"""`folder:PATH`: one sub-folder a class, with or without train/ and test/ folders above them."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from reskeras.data import decode as decoding
from reskeras.data.source import Source, Split, split_by_class
from reskeras.errors import ReskerasError

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif"}
TEST_NAMES = ("test", "val", "valid", "validation")
TEST_SHARE = 0.2
NAMED = 5  # skipped files that are named

Files = dict[str, list[Path]]


def open_folder(path: Path) -> Source:
    """The images below `path`. Each is decoded once by a pool of threads (about 1 ms a small image), so
    that one which cannot be read is named, skipped and counted now and not in the middle of training.

    Without train/ and test/ (or val/) folders one image in five of each class is for test, always the
    same ones. Raises ReskerasError for a missing folder, no classes, or a class without an image.
    """
    if not path.is_dir():
        raise ReskerasError(f"data: there is no folder {path}")
    below = {child.name: child for child in path.iterdir() if child.is_dir() and not child.name.startswith(".")}
    test_name = next((name for name in TEST_NAMES if name in below), None)
    divided = "train" in below and test_name is not None
    found = _class_files(below["train"] if divided else path)
    test_found = _class_files(below[test_name]) if divided else {}
    if strange := sorted(set(test_found) - set(found)):
        raise ReskerasError(f"data: class {strange[0]} is in {below[test_name]} and not in {below['train']}")
    readable, grey, notes = _readable([file for files in (*found.values(), *test_found.values()) for file in files])
    classes, channels = tuple(sorted(found)), 1 if grey else 3
    train_files, train_labels = _examples(found, classes, readable)
    _every_class_has_images(classes, train_labels, path)
    if divided:
        test_files, test_labels = _examples(test_found, classes, readable)
        if not test_files:
            raise ReskerasError(f"data: {below[test_name]} has no image that can be read")
        train = _split("train", train_files, train_labels, channels)
        test = _split("test", test_files, test_labels, channels)
    else:
        everything = _split("all", train_files, train_labels, channels)
        train_indices, test_indices = split_by_class(train_labels, TEST_SHARE)
        if not len(test_indices):
            raise ReskerasError(f"data: {path} has one image a class; at least two are needed, one of them for test")
        train, test = everything.part("train", train_indices), everything.part("test", test_indices)
        notes.append(f"no test folder: {len(test_indices)} of {len(train_labels)} images are kept for test")
    return Source(name=f"folder:{path}", label=path.absolute().name, classes=classes, channels=channels,
                  train=train, test=test, notes=tuple(notes))


def _class_files(folder: Path) -> Files:
    classes = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    if not classes:
        raise ReskerasError(f"data: {folder} has no sub-folders; each class is a folder of images")
    return {child.name: sorted(file for file in child.rglob("*")  # rglob follows no links to folders
                               if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
                               and file.is_file()) for child in classes}


def _readable(files: list[Path]) -> tuple[set[Path], bool, list[str]]:
    """Files that can be decoded, whether all of them are grey, and what to tell about the others."""
    with ThreadPoolExecutor() as pool:
        modes = dict(zip(files, pool.map(_mode, files), strict=True))
    skipped = [file for file, mode in modes.items() if mode is None]
    notes = []
    if skipped:
        more = f" and {len(skipped) - NAMED} more" if len(skipped) > NAMED else ""
        listed = ", ".join(str(file) for file in skipped[:NAMED])
        notes.append(f"skipped {len(skipped)} of {len(files)} images that cannot be read: {listed}{more}")
    readable = {file for file, mode in modes.items() if mode is not None}
    return readable, bool(readable) and all(modes[file] == "L" for file in readable), notes


def _mode(file: Path) -> str | None:
    """Pillow's mode of an image that both Pillow and TensorFlow decode, else None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file) as image:
                if image.width * image.height > decoding.LARGEST_IMAGE:
                    return None
                image.load()
                mode = image.mode
        decoding.decode(tf.io.read_file(str(file)), 3)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError, tf.errors.OpError):
        return None
    return mode


def _examples(files: Files, classes: tuple[str, ...], readable: set[Path]) -> tuple[list[str], np.ndarray]:
    pairs = [(str(file), label) for label, name in enumerate(classes) for file in files.get(name, ())
             if file in readable]
    return [file for file, _ in pairs], np.array([label for _, label in pairs], np.int32)


def _every_class_has_images(classes: tuple[str, ...], labels: np.ndarray, path: Path) -> None:
    counts = np.bincount(labels, minlength=len(classes)) if len(labels) else np.zeros(len(classes), int)
    for name, count in zip(classes, counts, strict=True):
        if not count:
            raise ReskerasError(f"data: class {name} of {path} has no image that can be read "
                                f"({', '.join(sorted(SUFFIXES))})")


def _split(name: str, files: list[str], labels: np.ndarray, channels: int) -> Split:
    paths, targets = tf.constant(files), tf.constant(labels)

    def example(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return decoding.decode(tf.io.read_file(tf.gather(paths, index)), channels), tf.gather(targets, index)

    return Split(name, len(files), example)
