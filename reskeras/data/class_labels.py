"""Labels of images as arrays: one class each, int32 (n,), or any number of them, uint8 (n, classes) of 0 and 1."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from reskeras.errors import ReskerasError, unknown
from reskeras.printable import few

MOST_NAMED = 5  # classes in a message


def members(labels: np.ndarray) -> list[np.ndarray]:
    """The indices, rising, of the images of each class that occurs. Of several classes an image is in several groups,
    and images without a class are a group of their own, the last."""
    if labels.ndim == 2:
        columns = [*labels.T, ~labels.any(axis=1)]
        return [group for column in columns if len(group := np.flatnonzero(column))]
    order = np.argsort(labels, kind="stable")
    return [group for group in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(group)]


def counts_by_class(labels: np.ndarray, classes: int) -> np.ndarray:
    """int64 (classes,): how many images there are of each class."""
    return labels.sum(axis=0, dtype=np.int64) if labels.ndim == 2 else np.bincount(labels, minlength=classes)


def are_of_class(labels: np.ndarray, label: int) -> np.ndarray:
    """bool (n,): which images are of the class `label`."""
    return labels[:, label] > 0 if labels.ndim == 2 else labels == label


def as_numbers(labels: np.ndarray) -> np.ndarray:
    """int32 (n,) that tell labels apart: the label, or a hash of several classes."""
    if labels.ndim == 1:
        return labels
    return np.array([zlib.crc32(row.tobytes()) for row in np.packbits(labels, axis=1)], np.uint32).view(np.int32)


def balanced_weights(counts: np.ndarray) -> np.ndarray:
    """float32 (classes,): weights inverse to `counts`, 1 on average over what was counted."""
    return (counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))).astype(np.float32)


def named_weights(weights: Mapping[str, float], classes: Sequence[str]) -> np.ndarray:
    """float32 (classes,): `weights` by name, 1 for classes without one. ReskerasError for a name that is no class."""
    for name in weights:
        if name not in classes:
            raise unknown("class_weights", name, classes)
    return np.array([weights.get(name, 1.0) for name in classes], np.float32)


def other_classes(classes: Sequence[str], wanted: Sequence[str]) -> str:
    """How `classes` differ from the `wanted` ones, in words; empty where only their order does.

    >>> other_classes(["a", "b"], ["b", "c"])
    'lacks c and adds a'
    """
    lacking, added = [name for name in wanted if name not in {*classes}], {*classes} - {*wanted}
    parts = [
        f"{word} {few(names, MOST_NAMED)}" for word, names in (("lacks", lacking), ("adds", sorted(added))) if names
    ]
    return " and ".join(parts)


def check_classes(field: str, path: object, classes: Sequence[str], of: object, wanted: Sequence[str]) -> None:
    """ReskerasError (status 2), of `field`, for a run at `path` whose `classes` are not those `wanted`, in the order
    that `of` has them."""
    if differ := other_classes(classes, wanted):
        raise ReskerasError(f"{field}: {path} has different classes from {of}: it {differ}")
    if [*classes] != [*wanted]:
        raise ReskerasError(f"{field}: {path} has the classes of {of} in a different order")
