"""Places of labels: as near to their lines as can be without overlap."""

import numpy as np
import pytest

from reskeras.report.labels import spread


def test_labels_with_room_stay():
    assert spread([0.9, 0.2, 0.5], 0.1).tolist() == pytest.approx([0.9, 0.2, 0.5])


def test_equal_ones_are_spread_about_their_line():
    assert spread([0.5, 0.5, 0.5], 0.1).tolist() == pytest.approx([0.4, 0.5, 0.6])


def test_the_ends_of_the_axis_hold():
    assert spread([0.0, 0.0, 1.0, 1.0], 0.2).tolist() == pytest.approx([0.1, 0.3, 0.7, 0.9])
    assert spread([-3.0, 7.0], 0.2).tolist() == pytest.approx([0.1, 0.9])


def test_a_full_axis_is_filled_in_order():
    assert spread([0.9, 0.1, 0.9, 0.9], 0.25).tolist() == pytest.approx([0.375, 0.125, 0.625, 0.875])


@pytest.mark.parametrize("seed", range(20))
def test_no_other_places_are_nearer(seed):
    """Against moves of every single label and group: the distances are least where the optimum is."""
    rng = np.random.default_rng(seed)
    targets, gap = rng.uniform(0, 1, 6), 0.12
    places = spread(targets, gap)
    ordered = np.sort(places)
    assert np.diff(ordered).min() >= gap - 1e-9 and ordered[0] >= gap / 2 - 1e-9 and ordered[-1] <= 1 - gap / 2 + 1e-9
    assert (np.argsort(places) == np.argsort(targets)).all()
    best = np.square(places - targets).sum()
    for _ in range(2000):
        tried = np.sort(places + rng.normal(0, 0.02, 6))
        tried = np.clip(tried, gap / 2, 1 - gap / 2)
        if np.diff(tried).min() >= gap:
            assert np.square(tried - np.sort(targets)).sum() >= best - 1e-9
