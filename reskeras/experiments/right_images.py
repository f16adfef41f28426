"""Which images a network classified right, small enough to keep, and McNemar's test of two networks on them."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reskeras.printable import counted

FEWEST = 25  # images on which rows of several runs must differ for the normal approximation of their test


class Untested(ValueError):
    """Why two rows cannot be compared image by image."""


@dataclass(frozen=True)
class RightImages:
    """A bit for each of `images` images in their order, 1 where the network was right, as base64; `labels` is a hash of
    the images' classes, equal for equal test sets."""

    images: int
    bits: str
    labels: str

    def __post_init__(self) -> None:
        self.right()

    @classmethod
    def of(cls, right: np.ndarray, labels: np.ndarray) -> RightImages:
        """From bool (images,) and the classes' numbers (images,)."""
        bits = base64.b64encode(np.packbits(right).tobytes()).decode("ascii")
        return cls(len(right), bits, hashlib.sha256(labels.astype("<i4").tobytes()).hexdigest()[:16])

    def right(self) -> np.ndarray:
        """bool (images,); ValueError where there are not as many bits."""
        packed = np.frombuffer(base64.b64decode(self.bits, validate=True), np.uint8)
        if len(packed) != -(-self.images // 8):
            raise ValueError(f"{self.images} images need {-(-self.images // 8)} bytes, not {len(packed)}")
        return np.unpackbits(packed, count=self.images).astype(bool)


def chance_of_difference(one: Sequence[RightImages], other: Sequence[RightImages]) -> float:
    """McNemar's test: the probability (two-sided) that two networks which are right equally often differ by as much as
    these do on the same images; Untested where nothing can be said.

    For one run each it is exact (Psychometrika 12, 1947): of the images on which the two differ, each is as likely to
    be right by one as by the other. For several runs, what is tested is the mean difference per image, by the normal
    approximation of its sign-flip distribution. The sample is the images; what another seed would change is not in it.
    """
    if not one or not other:
        raise Untested("which images they got right was not recorded")
    if len({(each.images, each.labels) for each in (*one, *other)}) != 1:
        raise Untested("they were not tested on the same images")
    means = [np.mean([each.right() for each in runs], axis=0) for runs in (one, other)]
    differences = means[0] - means[1]
    count = np.count_nonzero(differences)
    if len(one) == len(other) == 1:
        from scipy.stats import binomtest

        return float(binomtest(np.count_nonzero(differences > 0), count).pvalue) if count else 1.0
    if count < FEWEST:
        raise Untested(f"their runs differ on {counted(int(count), 'image')}, fewer than {FEWEST}")
    score = float(differences.sum() / math.sqrt(np.square(differences).sum()))
    return math.erfc(abs(score) / math.sqrt(2))
