"""Error analysis of detections: each classified by kind of mistake, and the precision that each kind costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reskeras.tasks.detection.average_precision import Detections, measured_overlaps, voc_precision

if TYPE_CHECKING:
    from reskeras.tasks.detection.objects import Objects

NEAR = 0.1  # overlap below which a detection is unrelated to an object (arXiv:2008.08115)
SURE = 0.5  # score from which a detection counts as confident
CORRECT, IGNORED, MISSED = "correct", "ignored", "missed"
LOCALISATION, CONFUSED, BOTH, DUPLICATE, BACKGROUND = KINDS = (
    "localisation",
    "confused",
    "both",
    "duplicate",
    "background",
)
WORDS = {
    LOCALISATION: "the right class, but the box overlaps its object too little",
    CONFUSED: "the box is right, but the object is of another class",
    BOTH: "near an object of another class, overlapping it too little",
    DUPLICATE: "an object already found by a more confident detection",
    BACKGROUND: "no object there",
    MISSED: "an object without a correct, confused or badly placed detection",
}


@dataclass(frozen=True)
class MistakeKind:
    """One kind of mistake: its count, the count with a score of SURE or more (None for missed objects, which have no
    score), and the mean average precision (area) if only this kind were fixed."""

    name: str
    count: int
    sure: int | None
    mended: float


@dataclass(frozen=True)
class Mistakes:
    """Detections classified at one `overlap`; `map_area` is their mean average precision.

    `detections` are those with finite numbers, by descending score; `kinds` str (d,) is CORRECT, IGNORED or one of
    KINDS for each, `targets` int64 (d,) the row of the related object, -1 for background. By row of the objects, bool
    (total,): `found` by a correct detection; `missed`, not ignored and without a correct, confused or badly localised
    detection; `unproposed`, not ignored and covered by no proposal (None if proposals are not given). `table` has
    KINDS, then MISSED.
    """

    overlap: float
    map_area: float
    table: tuple[MistakeKind, ...]
    detections: Detections = field(repr=False, compare=False)
    kinds: np.ndarray = field(repr=False, compare=False)
    targets: np.ndarray = field(repr=False, compare=False)
    found: np.ndarray = field(repr=False, compare=False)
    missed: np.ndarray = field(repr=False, compare=False)
    unproposed: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def missed_unproposed(self) -> int | None:
        """How many of the missed objects no proposal covers, so that they were never classified."""
        return None if self.unproposed is None else int((self.missed & self.unproposed).sum())

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain data for JSON."""
        kinds = {
            each.name: {
                "count": each.count,
                "sure": each.sure,
                "mended": each.mended,
                "gain": each.mended - self.map_area,
            }
            for each in self.table
        }
        return {
            "overlap": self.overlap,
            "map_area": self.map_area,
            "correct": int(self.found.sum()),
            "kinds": kinds,
            "missed_unproposed": self.missed_unproposed,
        }


def mistakes(
    detections: Detections,
    objects: Objects,
    classes: Sequence[str],
    overlap: float = 0.5,
    proposals: Sequence[np.ndarray] | None = None,
) -> Mistakes:
    """Classify `detections` and fix each kind of mistake separately, much like TIDE (arXiv:2008.08115).

    VOC's rule decides what is correct, a duplicate, or matched to an ignored object. Any other detection is the first
    of these that applies: confused, if it overlaps an object of another class by `overlap`; badly localised, if one of
    its own class by NEAR; both, if one of another class by NEAR; background.

    Fixing gives a confused detection the class of its object, and a badly localised one its box; detections whose
    object is ignored or found already, and all but the most confident of several for one object, are removed.
    Detections of the other kinds are removed, and missed objects are ignored; a class without any object left is not in
    the mean.

    `proposals` float32 (r, 4) for each image tell which objects could be found at all.
    """
    detections = detections.finite()
    ranked = detections.part(np.argsort(-detections.scores, kind="stable"))
    kinds, targets = _sorted(ranked, objects, overlap)
    found = np.zeros(len(objects.labels), bool)
    found[targets[kinds == CORRECT]] = True
    open_ = ~objects.ignored & ~found
    touched = np.zeros(len(found), bool)
    touched[targets[(kinds == LOCALISATION) | (kinds == CONFUSED)]] = True
    missed = open_ & ~touched

    def area(some: Detections, sought: Objects) -> float:
        return voc_precision(some, sought, tuple(classes), overlap).map_area

    table = []
    for name in KINDS:
        chosen = kinds == name
        mended = _mended(name, ranked, chosen, targets, objects, open_)
        table.append(
            MistakeKind(name, int(chosen.sum()), int((chosen & (ranked.scores >= SURE)).sum()), area(mended, objects))
        )
    sought = replace(objects, ignored=objects.ignored | missed)
    table.append(MistakeKind(MISSED, int(missed.sum()), None, area(ranked, sought)))
    unproposed = None if proposals is None else ~objects.ignored & ~_covered(proposals, objects, overlap)
    return Mistakes(overlap, area(ranked, objects), tuple(table), ranked, kinds, targets, found, missed, unproposed)


def _sorted(ranked: Detections, objects: Objects, overlap: float) -> tuple[np.ndarray, np.ndarray]:
    """Kinds and targets of detections, which are in descending order of score."""
    kinds, targets = np.full(len(ranked.scores), BACKGROUND, "U12"), np.full(len(ranked.scores), -1)
    by_image = np.argsort(ranked.image, kind="stable")
    images = ranked.image[by_image]
    for image in np.unique(images):
        here = by_image[slice(*np.searchsorted(images, (image, image + 1)))]
        rows = np.arange(objects.starts[image], objects.starts[image + 1])
        if len(rows):
            kinds[here], targets[here] = _in_image(ranked.boxes[here], ranked.labels[here], objects, rows, overlap)
    taken = np.flatnonzero(kinds == CORRECT)
    ignored = objects.ignored[targets[taken]]
    kinds[taken[ignored]] = IGNORED
    taken = taken[~ignored]
    kinds[np.delete(taken, np.unique(targets[taken], return_index=True)[1])] = DUPLICATE
    return kinds, targets


def _in_image(
    boxes: np.ndarray, labels: np.ndarray, objects: Objects, rows: np.ndarray, overlap: float
) -> tuple[np.ndarray, np.ndarray]:
    """Kinds and targets of one image's detections; duplicates are still CORRECT here."""
    shares = measured_overlaps(boxes, objects.boxes[rows])
    own = labels[:, np.newaxis] == objects.labels[rows]
    nearest, share = [], []
    for mask in (own, ~own):
        masked = np.where(mask, shares, -1.0)
        nearest.append(rows[masked.argmax(axis=1)])
        share.append(masked.max(axis=1))
    conditions = [share[0] >= overlap, share[1] >= overlap, share[0] >= NEAR, share[1] >= NEAR]
    kinds = np.select(conditions, [CORRECT, CONFUSED, LOCALISATION, BOTH], BACKGROUND)
    return kinds, np.select(conditions, [nearest[0], nearest[1], nearest[0], nearest[1]], -1)


def _mended(
    name: str, ranked: Detections, chosen: np.ndarray, targets: np.ndarray, objects: Objects, open_: np.ndarray
) -> Detections:
    """The detections with the `chosen` ones, all of one kind, fixed or removed."""
    if name not in (LOCALISATION, CONFUSED):
        return ranked.part(~chosen)
    able = np.flatnonzero(chosen)
    able = able[open_[targets[able]]]
    heirs = able[np.unique(targets[able], return_index=True)[1]]  # the most confident for each object
    labels, boxes, kept = ranked.labels.copy(), ranked.boxes.copy(), ~chosen
    labels[heirs], kept[heirs] = objects.labels[targets[heirs]], True
    if name == LOCALISATION:
        boxes[heirs] = objects.boxes[targets[heirs]]
    return Detections(ranked.image, labels, ranked.scores, boxes).part(kept)


def _covered(proposals: Sequence[np.ndarray], objects: Objects, overlap: float) -> np.ndarray:
    """Which objects, bool (total,), are covered by a proposal of their image with at least `overlap`."""
    covered = np.zeros(len(objects.labels), bool)
    for image, boxes in enumerate(proposals):
        rows = slice(objects.starts[image], objects.starts[image + 1])
        shares = measured_overlaps(np.reshape(boxes, (-1, 4)), objects.boxes[rows])
        covered[rows] = shares.max(axis=0, initial=0.0) >= overlap
    return covered
