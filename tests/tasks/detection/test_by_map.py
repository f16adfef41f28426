"""Objects by the map that proposes them, against loops; and the plot of it."""

import numpy as np
import pytest

from reskeras.tasks.detection.by_map import BY_NONE, by_map_in_words, draw_by_map, proposed_by_map
from reskeras.tasks.detection.recall import Proposed
from tests.tasks.detection.scenes import annotated, drawn


def best_by_loops(box, proposals, count, overlap):
    top, left, bottom, right = map(float, box)
    best, found = 0.0, BY_NONE
    for (first, start, last, end), place in zip(proposals.boxes[:count].astype(float), proposals.maps, strict=False):
        shared = max(min(bottom, last) - max(top, first), 0) * max(min(right, end) - max(left, start), 0)
        share = shared / ((bottom - top) * (right - left) + (last - first) * (end - start) - shared)
        if share >= overlap and share > best:
            best, found = share, int(place)
    return found


@pytest.mark.parametrize("seed", range(3))
def test_the_map_of_an_object_is_that_of_its_best_proposal(seed):
    rng = np.random.default_rng(seed)
    objects, detections = drawn(rng, 3)
    proposals = []
    for image in range(objects.count):
        boxes = detections.boxes[detections.image == image]
        proposals.append(Proposed(boxes, rng.integers(0, 3, len(boxes)).astype(np.int32)))
    count = 6
    found = proposed_by_map(proposals, objects, (4, 8, 16), count, overlap=0.6)
    expected = [
        (best_by_loops(box, proposals[image], count, 0.6), ((box[2] - box[0]) * (box[3] - box[1])) ** 0.5)
        for image in range(objects.count)
        for box, _, ignored in zip(*objects.rows(image), strict=True)
        if not ignored
    ]
    assert found.maps.tolist() == [place for place, _ in expected]
    assert found.sides == pytest.approx([side for _, side in expected])
    assert len({*found.maps}) > 2
    assert [each.objects for each in found.table] == [int((found.maps == place).sum()) for place in (0, 1, 2, BY_NONE)]


@pytest.fixture
def few():
    """Two objects of side 10 and 40, proposed from the first map and from none, and one that is ignored."""
    objects = annotated([[(0, 0, 10, 10, 0), (50, 50, 90, 90, 0), (0, 0, 10, 10, 0, "difficult")], []])
    near = Proposed(np.float32([[0, 0, 10, 8], [0, 0, 10, 9.5], [50, 50, 90, 90]]), np.int32([1, 0, 1]))
    nothing = Proposed(np.zeros((0, 4), np.float32), np.zeros(0, np.int32))
    return proposed_by_map([near, nothing], objects, (8, 16), 2)


def test_a_table_has_each_map_and_what_no_proposal_covers(few):
    assert few.as_dict() == [
        {"stride": 8, "objects": 1, "sides": [10, 10, 10]},
        {"stride": 16, "objects": 0, "sides": None},
        {"stride": None, "objects": 1, "sides": [40, 40, 40]},
    ]
    assert by_map_in_words(few) == (
        "Objects by the map that proposes them: stride 8 1, half of them with sides of 10 to 10 pixels; stride 16 0; "
        "none 1, half of them with sides of 40 to 40 pixels."
    )


def test_the_plot_has_every_object_once(few):
    (axis,) = draw_by_map(few).axes
    bars = [bar for bar in axis.patches if bar.get_height()]
    assert sum(bar.get_height() for bar in bars) == 2
    for bar, side in zip(bars, (10, 40), strict=True):
        assert bar.get_x() <= side <= bar.get_x() + bar.get_width() / 0.94
    nothing = proposed_by_map([], annotated([]), (8, 16), 2)
    assert not any(bar.get_height() for bar in draw_by_map(nothing).axes[0].patches)
