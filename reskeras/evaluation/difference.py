"""Difference between two sets of logits, as measured by every proof."""

from __future__ import annotations

import numpy as np

TOLERANCE = 1e-4  # of the largest logit, for float32
CONSTANT = 1e-6  # a class whose logits vary by less, relative to the largest, is constant in float32


def relative_difference(values: np.ndarray, reference: np.ndarray) -> float:
    """The largest absolute difference, relative to the largest absolute value of `reference`."""
    return float(np.abs(values - reference).max() / np.abs(reference).max())


def proven_difference(values: np.ndarray, reference: np.ndarray) -> float:
    """The largest difference of logits (images, classes), each relative to the largest of its class, or to the median
    of all classes where that is larger, so that a class with huge logits, such as a masked one, does not hide
    differences of the others.

    Infinite where logits are not finite or the same for every image, which proves nothing.
    """
    sound = all(
        np.isfinite(each).all() and (len(each) == 1 or np.ptp(each, axis=0).any()) for each in (values, reference)
    )
    if not sound:
        return float("inf")
    largest = np.abs(reference).max(axis=0)
    told = largest if len(reference) == 1 else largest[np.ptp(reference, axis=0) > CONSTANT * largest]
    usual = np.quantile(told if told.size else largest, 0.5, method="lower")
    return float((np.abs(values - reference).max(axis=0) / np.maximum(largest, usual)).max())
