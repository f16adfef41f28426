"""How far two sets of logits are from one another: what every proof measures."""

from __future__ import annotations

import numpy as np

TOLERANCE = 1e-4  # of the largest logit, for float32


def relative_difference(values: np.ndarray, reference: np.ndarray) -> float:
    """The largest difference over the largest of `reference`."""
    return float(np.abs(values - reference).max() / np.abs(reference).max())


def proven_difference(values: np.ndarray, reference: np.ndarray) -> float:
    """The same of logits (images, classes); infinite where they are not finite or the same for every image, which
    proves nothing."""
    sound = all(np.isfinite(each).all() and (len(each) == 1 or np.ptp(each, axis=0).any())
                for each in (values, reference))
    return relative_difference(values, reference) if sound else float("inf")
