"""Tiles of large images: where they lie, and how the detections in them become those of the whole image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reskeras.errors import ReskerasError
from reskeras.tasks.detection.average_precision import Detections, paired_overlaps
from reskeras.tasks.detection.options import Tiling

MOST_TILES = 10_000  # of an image
EDGE = 1 / 32  # of a tile's side: a box that ends within so much of an inner border may be part of an object, whose
# edge there a detector places only roughly

Tile = tuple[int, int, int, int]  # top, left, bottom, right, in pixels of the image


def tiles_of(size: tuple[int, int], tiling: Tiling) -> list[Tile]:
    """The tiles of an image of `size` (height, width), all as large: evenly spaced, each overlapping its neighbours by
    at least the tiling's overlap; only the whole image if a tile holds it. ReskerasError for more than MOST_TILES."""
    rows, columns = (_starts(length, tiling) for length in size)
    if len(rows) * len(columns) > MOST_TILES:
        raise ReskerasError(
            f"tile: {tiling.side}: an image of {size[0]}x{size[1]} pixels has {len(rows) * len(columns):,} such tiles, "
            f"more than {MOST_TILES:,}; use larger ones"
        )
    height, width = (min(tiling.side, length) for length in size)
    return [(top, left, top + height, left + width) for top in rows for left in columns]


def _starts(length: int, tiling: Tiling) -> list[int]:
    if length <= tiling.side:
        return [0]
    free, step = length - tiling.side, tiling.side - tiling.shared
    gaps = -(-free // step)
    return [place * free // gaps for place in range(gaps + 1)]  # no two further apart than `step`


@dataclass(frozen=True)
class View:
    """What was found in a `tile` of an image: `boxes` float32 (n, 4) in pixels of the image, by descending score,
    `scores` float32 (n,) and `labels` int32 (n,)."""

    tile: Tile
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


def merged(views: Sequence[View], size: tuple[int, int], overlap: float, class_agnostic: bool = False) -> Detections:
    """The detections in an image of `size`, of all views, by descending score; `image` is the number of the view.

    Every object that lies wholly inside some tile, and is found in each view as far as it shows, is found once. A box
    that ends at an inner border of its tile is cut, and comes after all that are not. In this order, then by score,
    each box removes those of other views, of its class or of any, that repeat it: whose IoU with it is more than
    `overlap`. A cut box is compared with the part of the other that its tile shows. What stays has the highest score
    of itself and of what it removed. Boxes of one view do not remove each other: its own suppression has decided that.
    """
    boxes, scores, labels = (
        np.concatenate([getattr(view, name) for view in views]) for name in ("boxes", "scores", "labels")
    )
    owner = np.repeat(np.arange(len(views)), [len(view.scores) for view in views])
    tiles = np.array([view.tile for view in views], np.float32).reshape(-1, 4)[owner]
    cut = _is_cut(boxes, tiles, size)
    scores, left = scores.copy(), np.ones(len(scores), bool)
    kept: list[int] = []
    for best in np.lexsort((-scores, cut)):
        if not left[best]:
            continue
        kept.append(best)
        left[best] = False
        same = left & (owner != owner[best]) & _meeting(boxes, boxes[best])
        rivals = np.flatnonzero(same if class_agnostic else same & (labels == labels[best]))
        shown = np.where(cut[rivals, np.newaxis], _within(boxes[best], tiles[rivals]), boxes[best])
        again = rivals[paired_overlaps(boxes[rivals], shown) > overlap]
        left[again] = False
        scores[best] = scores[[best, *again]].max()
    chosen = np.array(kept, int)
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
    return Detections(owner[chosen].astype(np.int32), labels[chosen], scores[chosen], boxes[chosen])


def _is_cut(boxes: np.ndarray, tiles: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Whether boxes (n, 4) end at a border of their tiles (n, 4) that is none of the image."""
    edge = np.maximum(np.tile(tiles[:, 2:] - tiles[:, :2], 2) * EDGE, 1.0)
    inner = tiles != np.array([0, 0, *size])
    return (inner & (np.abs(boxes - tiles) < edge)).any(axis=1)


def _within(box: np.ndarray, tiles: np.ndarray) -> np.ndarray:
    """The parts (n, 4) of a box (4,) that tiles (n, 4) show."""
    low, high = np.tile(tiles[:, :2], 2), np.tile(tiles[:, 2:], 2)
    return np.clip(box, low, high)


def _meeting(boxes: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Which of the boxes (n, 4) have anything in common with one (4,)."""
    return np.logical_and.reduce((boxes[:, :2] < one[2:]) & (boxes[:, 2:] > one[:2]), axis=1)
