"""Recall of proposals against loops."""

import numpy as np
import pytest

from reskeras.tasks.detection.recall import proposal_recall
from tests.tasks.detection.scenes import annotated, drawn


def by_loops(proposals, objects, count, overlap):
    covered = total = 0
    for image in range(objects.count):
        for (top, left, bottom, right), _, ignored in zip(*objects.rows(image), strict=True):
            if ignored:
                continue
            total += 1
            for first, start, last, end in proposals[image][:count].astype(float):
                shared = max(min(bottom, last) - max(top, first), 0) * max(min(right, end) - max(left, start), 0)
                if shared / ((bottom - top) * (right - left) + (last - first) * (end - start) - shared) >= overlap:
                    covered += 1
                    break
    return covered / total


@pytest.mark.parametrize("seed", range(4))
def test_recall_is_that_of_loops_at_every_count(seed):
    objects, detections = drawn(np.random.default_rng(seed), 3)
    proposals = [detections.boxes[detections.image == image] for image in range(objects.count)]
    result = proposal_recall(proposals, objects, counts=(1, 5, 1000), overlap=0.7)
    assert list(result) == [1, 5, 1000]
    for count, (share, average) in result.items():
        assert share == pytest.approx(by_loops(proposals, objects, count, 0.7))
        assert average == pytest.approx(
            np.mean([by_loops(proposals, objects, count, step / 20) for step in range(10, 20)])
        )
    assert 0 < result[1].share < result[1000].share < 1


def test_ignored_objects_are_not_counted_and_one_proposal_may_cover_two():
    objects = annotated([[(0, 0, 10, 10, 0), (0, 0, 10, 8, 1), (50, 50, 90, 90, 0, "difficult")], []])
    one = [np.array([[0, 0, 10, 9]], np.float32), np.zeros((0, 4), np.float32)]
    assert proposal_recall(one, objects)[50] == (1.0, pytest.approx((9 + 8) / 20))  # overlaps 0.9 and 8 / 9


def test_no_proposals_and_no_objects_are_zero():
    none = [np.zeros((0, 4), np.float32)]
    assert proposal_recall(none, annotated([[(0, 0, 10, 10, 0)]]), counts=(10,)) == {10: (0, 0)}
    assert proposal_recall(none, annotated([[]]), counts=(10,)) == {10: (0, 0)}
    assert proposal_recall([], annotated([]), counts=(10,)) == {10: (0, 0)}


def test_proposals_of_other_images_are_refused():
    with pytest.raises(ValueError, match="2 images for 1 images"):
        proposal_recall([np.zeros((0, 4))] * 2, annotated([[]]))
