"""What a proof measures: of logits (images, classes), how far they are from others, class by class."""

import numpy as np
import pytest

from reskeras.evaluation.difference import TOLERANCE, proven_difference

LOGITS = np.random.default_rng(0).normal(size=(8, 10))


def test_a_difference_is_over_the_largest_of_its_class():
    logits = np.array([[1.0, 2.0, 4.0], [-2.0, 1.0, 3.0]])
    moved = logits + np.array([[0, 0, 0.4], [0, 0, 0]])
    assert proven_difference(moved, logits) == pytest.approx(0.1)
    assert proven_difference(logits, logits) == 0


@pytest.mark.parametrize("masked", [1, 4, 9])
@pytest.mark.parametrize("mask", [-1e9, -1e30, 1e4])
def test_masked_classes_hide_nothing_of_the_others(masked, mask):
    """As `fc.bias[3] = -1e9` does, in float32."""
    hidden = np.where(np.arange(10) < masked, mask, 0).astype(np.float32)
    reference, other = (np.float32(each) + hidden for each in (LOGITS, LOGITS * 1.01))
    if masked <= 5 or abs(mask) > 1e5:
        assert proven_difference(other, reference) > 10 * TOLERANCE
    assert proven_difference(reference, reference) == 0


def test_a_class_of_small_logits_is_measured_by_what_is_usual():
    small = LOGITS * [1e-6, *[1] * 9]
    assert proven_difference(small + 1e-6, small) < 1e-5


@pytest.mark.parametrize("bad", [np.nan, np.inf, "alike"])
def test_what_proves_nothing_is_infinitely_far(bad):
    other = np.broadcast_to(LOGITS[:1], LOGITS.shape) if bad == "alike" else np.where(LOGITS > 1, bad, LOGITS)
    assert proven_difference(other, LOGITS) == np.inf
    assert proven_difference(LOGITS, other) == np.inf
