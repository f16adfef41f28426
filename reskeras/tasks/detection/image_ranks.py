"""Images ranked by what went wrong in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reskeras.tasks.detection.mistakes import CORRECT, KINDS, MISSED, SURE, Mistakes

if TYPE_CHECKING:
    from reskeras.tasks.detection.objects import Objects

RANK_KINDS = (MISSED, *KINDS)


@dataclass(frozen=True)
class ImageRank:
    """The number of an `image`, and the `counts` of what went wrong in it, by RANK_KINDS."""

    image: int
    counts: tuple[int, ...]

    @property
    def wrong(self) -> int:
        """How much went wrong in all."""
        return sum(self.counts)

    def describe(self) -> str:
        """The kinds that occurred, in words."""
        return ", ".join(f"{count:,} {kind}" for kind, count in zip(RANK_KINDS, self.counts, strict=True) if count)


def image_ranks(found: Mistakes, objects: Objects, score: float = SURE) -> list[ImageRank]:
    """The images in which something went wrong, the worst first, then in their order.

    Counted are the false detections with a score of at least `score`, by kind, and the objects, but for ignored ones,
    that no correct detection with such a score finds.
    """
    sure = found.detections.scores >= score
    counts = np.zeros((objects.count, len(RANK_KINDS)), np.int64)
    for place, kind in enumerate(KINDS, 1):
        np.add.at(counts[:, place], found.detections.image[sure & (found.kinds == kind)], 1)
    missed = ~objects.ignored
    missed[found.targets[sure & (found.kinds == CORRECT)]] = False
    owner = np.repeat(np.arange(objects.count), np.diff(objects.starts))
    np.add.at(counts[:, 0], owner[missed], 1)
    order = np.argsort(-counts.sum(axis=1), kind="stable")
    return [ImageRank(int(image), tuple(counts[image].tolist())) for image in order if counts[image].any()]
