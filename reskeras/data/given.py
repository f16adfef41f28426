"""Data that a program hands over instead of naming it: arrays, or `tf.data.Dataset`s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.data.arrays import InMemory, Part, check_classes, read_labels
from reskeras.data.datasets import part_of_dataset
from reskeras.data.pixels import Levels, as_uint8
from reskeras.errors import ReskerasError
from reskeras.printable import counted

ARRAYS, DATASET = "arrays", "tf.data.Dataset"
ONE_HOT = (
    "labels have a single 1 in each row, so that an image is of one class; "
    "reskeras.source(..., multi_label=True) makes images of several"
)
USAGE = "a source's name, a Source, arrays (x, y) or ((x, y), (x_test, y_test)), or tf.data.Datasets of (image, label)"


def in_memory(
    data: Any,
    test: Any = None,
    validation: Any = None,
    *,
    classes: Sequence[str] | None = None,
    name: str | None = None,
    mirror: bool = True,
    multi_label: bool | None = None,
) -> InMemory:
    """Arrays or datasets, read and checked; see `request.source`. ReskerasError (status 2) for anything else."""
    if isinstance(data, InMemory):
        return data
    data, test = _both(data, test)
    named = {"train": data, "validation": validation, "test": test}
    levels, notes = Levels(), []
    parts: dict[str, Part] = {}
    for key, part in named.items():
        if part is None:
            continue
        if isinstance(part, tf.data.Dataset):
            word = {"train": "training", "validation": "validation", "test": "test"}[key]
            parts[key], told = part_of_dataset(part, f"the {word} dataset", levels)
            notes += told
        else:
            parts[key] = part_of_arrays(part, ("x", "y") if key == "train" else (f"x_{key}", f"y_{key}"), levels)
    given = DATASET if isinstance(data, tf.data.Dataset) else ARRAYS
    name = ("dataset" if given == DATASET else given) if name is None else name
    notes += filter(None, [levels.note(name)])
    if classes is None:
        classes = getattr(data, "class_names", None)  # as keras.utils.image_dataset_from_directory gives
    return made(name, given, parts, notes, classes, mirror, multi_label)


@dataclass(frozen=True)
class Picture:
    """One of several images in memory, uint8 (height, width, channels), that is called by its number."""

    number: int
    pixels: np.ndarray

    def __str__(self) -> str:
        return f"image {self.number}"


def pictures(given: Any) -> list[Any] | None:
    """Images to predict, (n, height, width) or with channels, as `in_memory` takes them; None for what is no array."""
    if isinstance(given, tf.data.Dataset):
        raise ReskerasError("predict: takes files or an array of images; evaluate takes datasets")
    if not _is_array(given):
        return None
    return [Picture(number, pixels) for number, pixels in enumerate(as_uint8(np.asarray(given), Levels(), "images"))]


def made(
    name: str,
    given: str,
    parts: dict[str, Part],
    notes: Sequence[str],
    classes: Sequence[str] | None = None,
    mirror: bool = True,
    multi_label: bool | None = None,
) -> InMemory:
    """The parts, by the names of their splits, after a check that they fit together.

    Rows of 0 and 1 are one-hot where each has a single 1, unless `multi_label`.
    """
    rows = [part.labels for part in parts.values()]
    if multi_label and any(each.ndim == 1 for each in rows):
        raise ReskerasError("multi_label: labels of several classes per image are rows of 0 and 1, (n, classes)")
    alike = {each.shape[1:] for each in rows}  # differences are refused where the parts are put together
    if not multi_label and len(alike) == 1 and all(each.ndim == 2 and (each.sum(axis=1) == 1).all() for each in rows):
        classes = list(map(str, range(rows[0].shape[1]))) if classes is None else classes
        parts = {key: replace(part, labels=part.labels.argmax(axis=1)) for key, part in parts.items()}
        notes = [*notes, ONE_HOT]
    first = parts["train"]
    for part in parts.values():
        here, there = (_channels(each.pixels[0].shape[-1]) for each in (part, first))
        if here != there:
            raise ReskerasError(f"data: images of {part.named[0]} have {here}, but those of {first.named[0]} {there}")
    named = None if classes is None else check_classes(classes)
    return InMemory(
        name, given, first, parts.get("test"), parts.get("validation"), named, mirror=mirror, notes=tuple(notes)
    )


def part_of_arrays(pair: Any, named: tuple[str, str], levels: Levels) -> Part:
    """A pair of images and labels; `named` is what messages call them."""
    if not (_is_pair(pair) and _is_array(pair[0])):
        raise ReskerasError(f"data: {type(pair).__name__} is not a pair of arrays, images and labels; give {USAGE}")
    pixels = as_uint8(np.asarray(pair[0]), levels, named[0])
    return Part(pixels, read_labels(pair[1], len(pixels), named), named)


def _both(data: Any, test: Any) -> tuple[Any, Any]:
    """Training and test images, which may come together."""
    if isinstance(data, tf.data.Dataset):
        return data, test
    if isinstance(data, tuple | list) and test is None:
        if len(data) == 4 and _is_array(data[0]) and _is_array(data[2]):
            return tuple(data[:2]), tuple(data[2:])
        if len(data) == 2 and all(isinstance(each, tf.data.Dataset) or _is_pair(each) for each in data):
            return data[0], data[1]
    if _is_pair(data) and _is_array(data[0]):
        return data, test
    raise ReskerasError(f"data: {_said(data)} is not data; give {USAGE}")


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2


def _is_array(value: Any) -> bool:
    """Whether `value` is an array of NumPy, TensorFlow, PyTorch or the like."""
    return hasattr(value, "__array__") and hasattr(value, "shape")


def _said(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)} ({', '.join(type(each).__name__ for each in value[:4])})"
    return f"a value of type {type(value).__name__}"


def _channels(count: int) -> str:
    return counted(count, "channel")
