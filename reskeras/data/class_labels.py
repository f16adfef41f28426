"""Labels of images as arrays: one class each, int32 (n,), or any number of them, uint8 (n, classes) of 0 and 1."""

from __future__ import annotations

import zlib

import numpy as np


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
