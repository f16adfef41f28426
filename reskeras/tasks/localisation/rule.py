"""The rule of ILSVRC's localisation (v1 appendix C): a pair of class and box is right where the image holds an object
of the class that the box overlaps with an IoU of at least 0.5; of several pairs one has to be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reskeras.data.layout import in_words
from reskeras.data.source import Source
from reskeras.errors import ReskerasError
from reskeras.tasks.detection.average_precision import measured_overlaps
from reskeras.tasks.detection.objects import Objects

OVERLAP = 0.5


def check_images(source: Source[Objects]) -> None:
    """ReskerasError (status 2) for images without an object, which have nothing to localise."""
    for split in (source.training_images("train"), source.test):
        if without := int((~split.held(len(source.classes)).any(axis=1)).sum()):
            raise ReskerasError(
                f"data: {without:,} of the {split.count:,} {in_words(split.name)} images of {source.name} hold no "
                "object; a localiser needs one in each"
            )


def wanted_classes(wanted: np.ndarray) -> np.ndarray:
    """The classes of each image, int32 (n, k), of `wanted` bool (n, C): those that it wants, then the first of them
    again, as often as the image that wants most needs."""
    most = max(int(wanted.sum(axis=1).max(initial=0)), 1)
    order = np.argsort(~wanted, axis=1, kind="stable")[:, :most]
    return np.where(np.take_along_axis(wanted, order, axis=1), order, order[:, :1]).astype(np.int32)


def covered(split: Objects, boxes: np.ndarray) -> np.ndarray:
    """The highest IoU, float64 (n, C), of the box of each class, (n, C, 4) in pixels of the image, with any object of
    that class in it; 0 where there is none. Ignored objects do not count."""
    found = np.zeros(boxes.shape[:2])
    for image in range(split.count):
        objects, labels, ignored = split.rows(image)
        for label in np.unique(labels[~ignored]):
            own = objects[(labels == label) & ~ignored]
            found[image, label] = measured_overlaps(boxes[image, label][np.newaxis], own).max()
    return found


def top(scores: np.ndarray, count: int) -> np.ndarray:
    """The `count` classes with the highest scores (n, C), best first, int64 (n, count); of equal ones the first."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def wrong(right: np.ndarray, guesses: np.ndarray) -> float:
    """The share of images none of whose guessed classes (n, k) is right, of `right` bool (n, C)."""
    return float(1 - np.take_along_axis(right, guesses, axis=1).any(axis=1).mean())


def same_box(split: Objects, sides: Sequence[float], classes: int) -> np.ndarray:
    """One box for all images and classes, (n, classes, 4) in pixels: `sides` (4,) are shares of an image's height,
    width, height and width."""
    sizes = np.tile(split.sizes, 2)[:, np.newaxis] * np.asarray(sides)
    return np.broadcast_to(sizes, (split.count, classes, 4))


def mean_sides(split: Objects) -> np.ndarray:
    """The mean box of a split's objects, float64 (4,), its sides as shares of their image's."""
    owner = np.repeat(np.arange(split.count), np.diff(split.starts))
    return np.mean(split.boxes[~split.ignored] / np.tile(split.sizes, 2)[owner[~split.ignored]], axis=0)
