"""Recall of an RPN's proposals, by number of proposals per image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from reskeras.tasks.detection.average_precision import measured_overlaps

if TYPE_CHECKING:
    from reskeras.tasks.detection.objects import Objects

OVERLAPS = np.arange(10, 20) / 20  # 0.5, 0.55, ..., 0.95


class Proposed(NamedTuple):
    """An image's proposals, best first: float32 (r, 4) in pixels of the original image, and int32 (r,) the places of
    the maps that they are of."""

    boxes: np.ndarray
    maps: np.ndarray


class Recall(NamedTuple):
    """Recall in 0..1: at the given overlap, and the mean over OVERLAPS."""

    share: float
    average: float


def proposal_recall(
    proposals: Sequence[np.ndarray], objects: Objects, counts: Sequence[int] = (50, 300, 1000), overlap: float = 0.5
) -> dict[int, Recall]:
    """For each of `counts`, the share of objects covered by one of the first that many proposals of their image.

    `proposals` has float32 (r, 4) for each image in the order of `objects`, best first, in pixels of the original
    image; r may vary and be 0. An object is covered by a proposal with an intersection over union of at least
    `overlap`, whatever its class; one proposal may cover several (in COCO's average recall it matches only one object).
    Ignored objects are not counted. Zeros without objects.
    """
    if len(proposals) != objects.count:
        raise ValueError(f"proposals of {len(proposals)} images for {objects.count} images")
    best: dict[int, list[np.ndarray]] = {count: [] for count in counts}
    for index, boxes in enumerate(proposals):
        rows = slice(objects.starts[index], objects.starts[index + 1])
        wanted = objects.boxes[rows][~objects.ignored[rows]]
        shares = measured_overlaps(np.reshape(boxes, (-1, 4)), wanted)
        for count, values in best.items():
            values.append(shares[:count].max(axis=0, initial=0.0))
    return {count: _recall(np.concatenate([*values, np.zeros(0)]), overlap) for count, values in best.items()}


def _recall(best: np.ndarray, overlap: float) -> Recall:
    """Recall from each object's highest overlap (n,) with a proposal."""
    if not len(best):
        return Recall(0.0, 0.0)
    return Recall(float((best >= overlap).mean()), float((best[:, np.newaxis] >= OVERLAPS).mean()))
