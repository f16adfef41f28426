"""What the logits of a classifier stand for: one class of all, or for each class whether it is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

TINY = np.finfo(np.float32).tiny  # instead of a probability of zero: keeps losses finite


@dataclass(frozen=True)
class Head:
    """`probabilities` of logits (n, classes), float32, as a function of tensors, and their logarithms, float64, as one
    of arrays, exact where probabilities are next to 0 and 1. `listed`: how many classes a server names at most."""

    name: str
    probabilities: Callable[[tf.Tensor], tf.Tensor]
    logarithms: Callable[[np.ndarray], np.ndarray]
    listed: int


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the softmax, float64."""
    logits = logits.astype(np.float64)
    top = logits.max(axis=1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))


def log_sigmoid(logits: np.ndarray) -> np.ndarray:
    """Logarithms of the sigmoid, float64."""
    with np.errstate(invalid="ignore"):  # of logits that are no numbers
        return -np.logaddexp(0, -logits.astype(np.float64))


def log_of(probabilities: np.ndarray) -> np.ndarray:
    """Their logarithms, float64, finite."""
    return np.log(np.maximum(probabilities, TINY).astype(np.float64))


SOFTMAX = Head("softmax", tf.nn.softmax, log_softmax, 5)
SIGMOID = Head("sigmoid", tf.nn.sigmoid, log_sigmoid, 100)
