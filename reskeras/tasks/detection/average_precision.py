"""Average precision of detections by the rules of PASCAL VOC: eleven points (to 2009) and area (from 2010)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from reskeras.tasks.detection.objects import Objects

# computed by division like recalls: 0.1 * 3 is above 0.3, so that a recall of 3 in 10 would miss its point
ELEVEN = np.arange(11) / 10
MOST_PAIRS = 2**21  # overlaps that are computed at once: 16 MiB, and a few times that


@dataclass(frozen=True)
class Detections:
    """Detections in the images of an `Objects`, one row per box, in any order.

    `image` int32 (d,) is the index of the image, `labels` int32 (d,) the class, `scores` float32 (d,) the confidence,
    `boxes` float32 (d, 4) top, left, bottom, right in pixels of the original image.
    """

    image: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray

    @classmethod
    def of(cls, answer: Mapping[str, Any], image: int) -> Detections:
        """What a detector finds in image number `image`: the first `count` rows of its `answer`."""
        kept = slice(0, int(answer["count"]))
        columns = (np.asarray(answer[name])[kept] for name in ("labels", "scores", "boxes"))
        return cls(np.full(kept.stop, image, np.int32), *columns)

    @classmethod
    def joined(cls, every: Sequence[Detections]) -> Detections:
        """The rows of all, one after the other."""
        return cls(*(np.concatenate([getattr(each, column.name) for each in every]) for column in fields(cls)))

    def finite(self) -> Detections:
        """The detections with finite score and box, without those of a diverged network."""
        kept = np.isfinite(self.scores) & np.isfinite(self.boxes).all(axis=1)
        return self if kept.all() else self.part(kept)

    def part(self, chosen: np.ndarray) -> Detections:
        """The rows that `chosen`, a mask or indices, picks."""
        return Detections(self.image[chosen], self.labels[chosen], self.scores[chosen], self.boxes[chosen])


@dataclass(frozen=True)
class ClassPrecision:
    """Precision-recall curve of one class, with detections by descending score.

    `objects` is the number of objects that are not ignored. `precision`, `recall` float64 (k,) in 0..1, `scores`
    float32 (k,) and `images` int32 (k,), the index of its image, have an entry for each counted detection: the figures
    with all detections down to this one. `area` is the area under the monotone envelope of the curve, `eleven` the mean
    of the highest precision at recalls of at least 0, 0.1, ..., 1. A class without objects has zeros for both and for
    recall.
    """

    name: str
    objects: int
    precision: np.ndarray = field(repr=False, compare=False)
    recall: np.ndarray = field(repr=False, compare=False)
    scores: np.ndarray = field(repr=False, compare=False)
    images: np.ndarray = field(repr=False, compare=False)
    area: float
    eleven: float


@dataclass(frozen=True)
class VocPrecision:
    """Average precision by class at one `overlap`, and means over the classes with objects (0 without any)."""

    overlap: float
    classes: tuple[ClassPrecision, ...]
    map_area: float
    map_eleven: float

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain data for JSON; None for a class that has no objects."""
        by_class = {
            each.name: {
                "objects": each.objects,
                "area": each.area if each.objects else None,
                "eleven": each.eleven if each.objects else None,
            }
            for each in self.classes
        }
        return {"overlap": self.overlap, "map_area": self.map_area, "map_eleven": self.map_eleven, "classes": by_class}


def voc_precision(
    detections: Detections, objects: Objects, classes: tuple[str, ...], overlap: float = 0.5
) -> VocPrecision:
    """Average precision as the VOC devkit computes it (VOCevaldet.m).

    The detections of a class are processed by descending score, ties in their order. Each is assigned to the object of
    its image and class with the highest overlap, the first of ties. With intersection over union of at least `overlap`
    it is a true positive if the object is not matched yet, and a false positive, a duplicate, if it is, even where
    another object overlaps enough (COCO would match that one). If the object is ignored the detection is neither,
    however many there are. All others are false positives.

    Boxes are continuous: VOC's inclusive pixel numbers, as this package reads them, give the devkit's overlaps.
    Detections with a non-finite score or corner are left out.
    """
    detections = detections.finite()
    owner = np.repeat(np.arange(objects.count), np.diff(objects.starts))
    every = tuple(_of_class(detections, objects, owner, label, name, overlap) for label, name in enumerate(classes))
    present = [each for each in every if each.objects]
    return VocPrecision(
        overlap,
        every,
        float(np.mean([each.area for each in present])) if present else 0.0,
        float(np.mean([each.eleven for each in present])) if present else 0.0,
    )


def measured_overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (n, 4) and (m, 4), float64 (n, m); 0 where a box is empty.

    In float64, so that for boxes of whole pixels reaching a threshold does not depend on rounding.
    """
    found = np.zeros((len(a), len(b)))
    step = max(MOST_PAIRS // max(len(a), 1), 1)
    for start in range(0, len(b), step):
        found[:, start : start + step] = paired_overlaps(a[:, np.newaxis], b[np.newaxis, start : start + step])
    return found


def paired_overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The same of each box of `a` (..., 4) with its own one of `b` (..., 4), which broadcast: (...)."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    areas = [np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0), axis=-1) for boxes in (a, b)]
    union = areas[0] + areas[1] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=(shared > 0) & (union > 0))


def _of_class(
    detections: Detections, objects: Objects, owner: np.ndarray, label: int, name: str, overlap: float
) -> ClassPrecision:
    chosen = np.flatnonzero(detections.labels == label)
    ranked = detections.part(chosen[np.argsort(-detections.scores[chosen], kind="stable")])
    rows = np.flatnonzero(objects.labels == label)
    best = _best_rows(ranked, objects, owner, rows, overlap)
    ignored = (best >= 0) & objects.ignored[best] if len(objects.ignored) else np.zeros(len(best), bool)
    best, scores, images = (each[~ignored] for each in (best, ranked.scores, ranked.image))
    true = np.zeros(len(best), bool)
    found, first = np.unique(best, return_index=True)
    true[first[found >= 0]] = True  # the most confident of those assigned to one object
    count = int((~objects.ignored[rows]).sum())
    hits = np.cumsum(true)
    precision, recall = hits / np.arange(1, len(true) + 1), hits / max(count, 1)
    means = area(precision, recall), _eleven(precision, recall)
    return ClassPrecision(name, count, precision, recall, scores, images, *means)


def _best_rows(ranked: Detections, objects: Objects, owner: np.ndarray, rows: np.ndarray, overlap: float) -> np.ndarray:
    """The row of `objects`, among `rows` of one class, assigned to each detection; -1 where none overlaps enough."""
    best = np.full(len(ranked.image), -1)
    order = np.argsort(ranked.image, kind="stable")
    images = ranked.image[order]
    for image in np.intersect1d(owner[rows], images):
        own = rows[slice(*np.searchsorted(owner[rows], (image, image + 1)))]
        here = order[slice(*np.searchsorted(images, (image, image + 1)))]
        shares = measured_overlaps(ranked.boxes[here], objects.boxes[own])
        nearest = shares.argmax(axis=1)
        best[here] = np.where(shares[np.arange(len(here)), nearest] >= overlap, own[nearest], -1)
    return best


def area(precision: np.ndarray, recall: np.ndarray) -> float:
    """The area under the monotone envelope of a curve, whose recalls (k,) do not fall."""
    highest = np.maximum.accumulate(precision[::-1])[::-1]  # at this recall or above
    return float(np.sum(np.diff(recall, prepend=0.0) * highest))


def _eleven(precision: np.ndarray, recall: np.ndarray) -> float:
    return float(sum(precision[recall >= point].max(initial=0.0) for point in ELEVEN) / len(ELEVEN))
