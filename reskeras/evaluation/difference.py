"""How far two sets of logits are from one another: what every proof measures."""

from __future__ import annotations

import numpy as np

TOLERANCE = 1e-4  # of the largest logit, for float32
CONSTANT = 1e-6  # a class whose logits vary by less, of the largest, is the same for every image in float32


def relative_difference(values: np.ndarray, reference: np.ndarray) -> float:
    """The largest difference over the largest of `reference`."""
    return float(np.abs(values - reference).max() / np.abs(reference).max())


def proven_difference(values: np.ndarray, reference: np.ndarray) -> float:
    """The largest difference of logits (images, classes), each over the largest of its class, or over the median of all
    classes where that is larger: a class of huge logits, as a masked one has, hides nothing of the others.

    Infinite where they are not finite or the same for every image, which proves nothing.
    """
    sound = all(np.isfinite(each).all() and (len(each) == 1 or np.ptp(each, axis=0).any())
                for each in (values, reference))
    if not sound:
        return float("inf")
    largest = np.abs(reference).max(axis=0)
    told = largest if len(reference) == 1 else largest[np.ptp(reference, axis=0) > CONSTANT * largest]
    usual = np.quantile(told if told.size else largest, 0.5, method="lower")
    return float((np.abs(values - reference).max(axis=0) / np.maximum(largest, usual)).max())
