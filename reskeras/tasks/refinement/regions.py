"""The regions that a refiner trains on: a localiser's best boxes of an image's classes, and what they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reskeras.networks.refiner import RefinerSpec
from reskeras.tasks.detection.average_precision import measured_overlaps
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.localisation.localiser import Localiser
from reskeras.tasks.localisation.model import BACKGROUND
from reskeras.tasks.localisation.rule import wanted_classes


@dataclass(frozen=True)
class Regions:
    """Boxes in the images of a split, one row each: `image` int64 (r,), `boxes` float32 (r, 4), `labels` int32 (r,),
    the class or BACKGROUND, and `targets` float32 (r, 4), the object's box, of background the box itself."""

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    targets: np.ndarray

    def part(self, rows: np.ndarray) -> Regions:
        """Those in `rows`."""
        return Regions(self.image[rows], self.boxes[rows], self.labels[rows], self.targets[rows])


def regions_of(localiser: Localiser, split: Objects, spec: RefinerSpec) -> Regions:
    """The `count` best boxes of each class that an image of `split` holds, by `localiser`, and its objects themselves:
    at first few boxes are near one. Boxes between the thresholds, or empty ones, are left out."""
    classes = spec.classes or 0
    true = split.held(classes)
    labels = wanted_classes(true)
    found = localiser.candidates(split, labels, spec.count)
    rows: list[Regions] = []
    for image in range(split.count):
        objects, names, ignored = split.rows(image)
        for place, label in enumerate(np.flatnonzero(true[image])):  # the order of wanted_classes
            own = objects[(names == label) & ~ignored]
            boxes = np.concatenate([found.boxes[image, place], own])
            rows.append(_told(image, int(label), boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)], own, spec))
    return Regions(*(np.concatenate([getattr(each, name) for each in rows]) for name in Regions.__annotations__))


def _told(image: int, label: int, boxes: np.ndarray, own: np.ndarray, spec: RefinerSpec) -> Regions:
    """What boxes (r, 4) of an image are, by the objects `own` (k, 4) of a class."""
    shares = measured_overlaps(boxes, own)
    best, nearest = shares.max(axis=1), own[shares.argmax(axis=1)]
    positive = best >= spec.positive
    kept = positive | (best < spec.negative)
    return Regions(
        np.full(int(kept.sum()), image, np.int64),
        boxes[kept].astype(np.float32),
        np.where(positive, label, BACKGROUND)[kept].astype(np.int32),
        np.where(positive[:, np.newaxis], nearest, boxes)[kept].astype(np.float32),
    )
