"""95% intervals of figures measured on a sample of images: Wilson's of shares, Agresti and Min's of differences of two
shares of the same images, the percentile bootstrap of others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import norm

LEVEL = 0.95
RESAMPLES, FEWEST = 400, 100  # resampled sets of images: at most, and the fewest that an interval is taken from
WORK = 40_000_000  # figures that all resamples look at together: ten seconds or so

Interval = tuple[float, float]


def wilson(hits: int, of: int) -> Interval | None:
    """The Wilson score interval of the share `hits` / `of` of independent images; None of no images.

    Unlike the normal approximation it is not empty at 0 and 1, where good classifiers are (Brown, Cai and DasGupta,
    "Interval estimation for a binomial proportion", 2001).
    """
    if not of:
        return None
    z, share = float(norm.ppf((1 + LEVEL) / 2)), hits / of
    middle = (share + z**2 / (2 * of)) / (1 + z**2 / of)
    half = z / (1 + z**2 / of) * (share * (1 - share) / of + z**2 / (4 * of**2)) ** 0.5
    return max(middle - half, 0.0) if hits else 0.0, min(middle + half, 1.0) if hits < of else 1.0


def paired(gained: int, lost: int, of: int) -> Interval | None:
    """The interval of the difference of two shares of the same `of` images, of which `gained` are only in the first and
    `lost` only in the second; None of no images. Half an image is added to each of the four counts (Agresti and Min,
    "Simple improved confidence intervals for comparing matched proportions", 2005)."""
    if not of:
        return None
    gained_, lost_, of_ = gained + 0.5, lost + 0.5, of + 2
    middle = (gained_ - lost_) / of_
    half = float(norm.ppf((1 + LEVEL) / 2)) * (gained_ + lost_ - (gained_ - lost_) ** 2 / of_) ** 0.5 / of_
    return max(middle - half, -1.0), min(middle + half, 1.0)


def bootstrap(figure: Callable[[np.ndarray], float], images: int, work: int) -> Interval | None:
    """The percentile bootstrap interval of a figure of `images` images, which are resampled as wholes: what is in one
    image is not independent.

    `figure` takes how often each image is in a resampled set, int64 (images,), and may be NaN where that is undefined;
    `work` is how many numbers it looks at. None where the interval would take too long, or of fewer than two images.
    """
    resamples = min(RESAMPLES, WORK // max(work, 1))
    if resamples < FEWEST or images < 2:
        return None
    rng = np.random.default_rng(0)  # the same evaluation has the same interval
    drawn = (np.bincount(rng.integers(0, images, images), minlength=images) for _ in range(resamples))
    found = np.array([figure(counts) for counts in drawn])
    found = found[np.isfinite(found)]
    if len(found) < FEWEST:
        return None
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
