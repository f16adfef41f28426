"""Confusion matrix of detections: objects by their class and by what was found there, with missed and background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reskeras.tasks.detection.average_precision import Detections, measured_overlaps
from reskeras.tasks.detection.mistakes import SURE

if TYPE_CHECKING:
    from reskeras.tasks.detection.objects import Objects

BACKGROUND, MISSED = "background", "missed"


@dataclass(frozen=True, eq=False)
class Confusion:
    """`counts` int64 (C + 1, C + 1): rows are the true classes, then background, columns the predicted ones, then
    missed. Detections with a score of at least `score` and objects are one where they overlap by at least `overlap`."""

    classes: tuple[str, ...]
    overlap: float
    score: float
    counts: np.ndarray

    @property
    def rows(self) -> tuple[str, ...]:
        """The names of the rows."""
        return (*self.classes, BACKGROUND)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return (*self.classes, MISSED)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        named = {"rows": list(self.rows), "columns": list(self.columns)}
        return {"overlap": self.overlap, "score": self.score, **named, "counts": self.counts.tolist()}

    def most_confused(self, most: int = 5) -> list[tuple[str, str, int]]:
        """The largest counts of mistakes, as (row, column, count)."""
        wrong = self.counts * ~np.eye(len(self.counts), dtype=bool)
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        places = [divmod(int(place), len(wrong)) for place in order]
        return [
            (self.rows[row], self.columns[column], int(wrong[row, column]))
            for row, column in places
            if wrong[row, column]
        ]


def confusion(
    detections: Detections, objects: Objects, classes: Sequence[str], overlap: float = 0.5, score: float = SURE
) -> Confusion:
    """Match the detections of each image one-to-one with its objects, and count the pairs by class.

    Pairs of one class come before those of two, then those of larger overlap; each is matched if neither of it is yet.
    What is left over is background, or missed. Ignored objects are matched last and, as what is matched with them,
    counted nowhere; nor is a detection that is left over and overlaps an ignored object by as much.
    """
    found = detections.finite()
    found = found.part(found.scores >= score)
    counts = np.zeros((len(classes) + 1, len(classes) + 1), np.int64)
    for image in range(objects.count):
        own = found.part(found.image == image)
        rows = slice(objects.starts[image], objects.starts[image + 1])
        true, ignored = objects.labels[rows], objects.ignored[rows]
        shares = measured_overlaps(own.boxes, objects.boxes[rows])
        taken, matched = _matched(shares, own.labels[:, np.newaxis] == true, ignored, overlap)
        np.add.at(counts, (true[matched], own.labels[taken]), ~ignored[matched])
        left = np.setdiff1d(np.arange(len(own.scores)), taken)
        left = left[~(shares[left][:, ignored] >= overlap).any(axis=1)]
        np.add.at(counts, (len(classes), own.labels[left]), 1)
        missed = np.setdiff1d(np.flatnonzero(~ignored), matched)
        np.add.at(counts, (true[missed], len(classes)), 1)
    return Confusion(tuple(classes), overlap, score, counts)


def _matched(
    shares: np.ndarray, same: np.ndarray, ignored: np.ndarray, overlap: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of overlaps (d, o) that are matched; `same` (d, o) where both are of one class."""
    rows, columns = np.nonzero(shares >= overlap)
    order = np.lexsort((-shares[rows, columns], ~same[rows, columns], ignored[columns]))
    taken: dict[int, int] = {}
    matched: dict[int, int] = {}
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in taken and column not in matched:
            taken[row], matched[column] = column, row
    return np.array([*taken], int), np.array([*taken.values()], int)
