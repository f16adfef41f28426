"""VOC's average precision against the devkit's procedure, written as its loops."""

import json
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from reskeras.tasks.detection.average_precision import measured_overlaps, voc_precision
from tests.tasks.detection.scenes import annotated, detected, drawn


def devkit(detections, objects, label, overlap):
    """(area, eleven points, true positives, false positives in order) as VOCevaldet.m and voc_eval.py find them,
    with their inclusive pixel numbers that start at 1."""
    truth = {}
    for image in range(objects.count):
        boxes, labels, ignored = objects.rows(image)
        truth[image] = [
            [left + 1, top + 1, right, bottom, hard, False]
            for (top, left, bottom, right), own, hard in zip(boxes.astype(float).tolist(), labels, ignored, strict=True)
            if own == label
        ]
    wanted = sum(not row[4] for rows in truth.values() for row in rows)
    chosen = [k for k in range(len(detections.labels)) if detections.labels[k] == label]
    chosen.sort(key=lambda k: -detections.scores[k])
    true, false = [], []
    for k in chosen:
        top, left, bottom, right = detections.boxes[k].astype(float).tolist()
        xmin, ymin, xmax, ymax = left + 1, top + 1, right, bottom
        most, best = -np.inf, None
        for row in truth[int(detections.image[k])]:
            wide = min(xmax, row[2]) - max(xmin, row[0]) + 1
            high = min(ymax, row[3]) - max(ymin, row[1]) + 1
            if wide > 0 and high > 0:
                union = (
                    (xmax - xmin + 1) * (ymax - ymin + 1) + (row[2] - row[0] + 1) * (row[3] - row[1] + 1) - wide * high
                )
                if wide * high / union > most:
                    most, best = wide * high / union, row
        true.append(0)
        false.append(0)
        if most < overlap:
            false[-1] = 1
        elif not best[4]:
            (false if best[5] else true)[-1] = 1
            best[5] = True
    return (*points(np.cumsum(true), np.cumsum(false), wanted), true, false)


def points(true, false, wanted):
    if wanted == 0:
        return 0.0, 0.0
    precision = [t / max(t + f, 1) for t, f in zip(true, false, strict=True)]
    eleven = 0.0
    for tenth in range(11):
        reached = [p for p, t in zip(precision, true, strict=True) if Fraction(int(t), wanted) >= Fraction(tenth, 10)]
        eleven += max(reached, default=0.0) / 11
    mrec, mpre = [0.0, *(t / wanted for t in true), 1.0], [0.0, *precision, 0.0]
    for k in range(len(mpre) - 2, -1, -1):
        mpre[k] = max(mpre[k], mpre[k + 1])
    area = sum((mrec[k] - mrec[k - 1]) * mpre[k] for k in range(1, len(mrec)) if mrec[k] != mrec[k - 1])
    return area, eleven


@pytest.mark.parametrize("overlap", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("seed", range(12))
def test_random_detections_score_as_the_devkit_scores_them(seed, overlap):
    objects, detections = drawn(np.random.default_rng(seed), classes=4, whole=seed % 2 == 0)
    names = ("a", "b", "c", "d", "nothing at all")
    result = voc_precision(detections, objects, names, overlap)
    expected = [devkit(detections, objects, label, overlap) for label in range(5)]
    for each, (area, eleven, true, false) in zip(result.classes, expected, strict=True):
        assert each.area == pytest.approx(area, abs=1e-6)
        assert each.eleven == pytest.approx(eleven, abs=1e-6)
        counted = np.flatnonzero(np.add(true, false))
        assert np.array_equal(np.rint(each.precision * np.arange(1, len(counted) + 1)), np.cumsum(true)[counted])
        assert np.all(np.diff(each.scores) <= 0)
    present = [row for row, each in zip(expected, result.classes, strict=True) if each.objects]
    assert len(present) == 3  # the first class has no detections and the last ones have no objects
    assert result.map_area == pytest.approx(np.mean([row[0] for row in present]), abs=1e-6)
    assert result.map_eleven == pytest.approx(np.mean([row[1] for row in present]), abs=1e-6)
    assert 0 < result.map_area < 1


def test_a_second_detection_of_an_object_is_a_mistake():
    objects = annotated([[(0, 0, 10, 10, 0), (50, 50, 60, 60, 0)]])
    found = detected([(0, 0, 0.9, 0, 0, 10, 10), (0, 0, 0.8, 0, 0, 10, 10), (0, 0, 0.7, 50, 50, 60, 60)])
    each = voc_precision(found, objects, ("a",)).classes[0]
    assert each.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3])
    assert each.recall.tolist() == [0.5, 0.5, 1]
    assert each.area == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert each.eleven == pytest.approx((6 + 5 * 2 / 3) / 11)


def test_finding_a_difficult_object_is_neither_right_nor_wrong_however_often():
    objects = annotated([[(0, 0, 10, 10, 0, "difficult"), (50, 50, 60, 60, 0)]])
    found = detected([(0, 0, 0.9, 0, 0, 10, 10), (0, 0, 0.8, 0, 0, 10, 10), (0, 0, 0.7, 50, 50, 60, 60)])
    each = voc_precision(found, objects, ("a",)).classes[0]
    assert (each.objects, each.area, each.precision.tolist()) == (1, 1.0, [1.0])
    assert each.scores.tolist() == pytest.approx([0.7])


def test_detections_of_equal_score_are_taken_in_their_order():
    objects = annotated([[(0, 0, 10, 10, 0)]])
    right, wrong = (0, 0, 0.5, 0, 0, 10, 10), (0, 0, 0.5, 50, 50, 60, 60)
    assert voc_precision(detected([right, wrong]), objects, ("a",)).map_area == 1
    assert voc_precision(detected([wrong, right]), objects, ("a",)).map_area == 0.5


def test_an_overlap_of_exactly_the_threshold_is_enough():
    objects = annotated([[(0, 0, 10, 10, 0)]])
    assert voc_precision(detected([(0, 0, 0.5, 0, 0, 10, 5)]), objects, ("a",)).map_area == 1
    assert voc_precision(detected([(0, 0, 0.5, 0, 0, 10, 4.9)]), objects, ("a",)).map_area == 0


def test_a_recall_of_exactly_three_tenths_reaches_the_fourth_point():
    objects = annotated([[(0, 20 * k, 10, 20 * k + 10, 0) for k in range(10)]])
    found = detected([(0, 0, 1 - k / 10, 0, 20 * k, 10, 20 * k + 10) for k in range(3)])
    assert voc_precision(found, objects, ("a",)).map_eleven == pytest.approx(4 / 11)


def test_nothing_found_or_nothing_to_find_is_zero_and_plain_data():
    some, none = annotated([[(0, 0, 10, 10, 0)], []]), annotated([[], []])
    found = detected([(1, 0, 0.5, 0, 0, 10, 10)])
    for objects, detections in ((some, detected([])), (none, found), (none, detected([])), (some, found)):
        result = voc_precision(detections, objects, ("a", "b"))
        assert (result.map_area, result.map_eleven) == (0, 0)
        assert json.loads(json.dumps(result.as_dict(), allow_nan=False))["classes"]["b"]["area"] is None


def test_detections_that_are_no_numbers_are_left_out():
    objects = annotated([[(0, 0, 10, 10, 0)]])
    broken = [(0, 0, np.nan, 0, 0, 10, 10), (0, 0, 0.9, 0, np.nan, 10, 10), (0, 0, 0.9, 0, 0, np.inf, 10)]
    result = voc_precision(detected([*broken, (0, 0, 0.1, 0, 0, 10, 10)]), objects, ("a",))
    assert result.classes[0].precision.tolist() == [1]


def test_overlaps_of_many_boxes_take_little_more_memory_than_they_are():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 90, (20_300, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 30, (20_300, 2))], axis=1).astype(np.float32)
    tracemalloc.start()
    found = measured_overlaps(boxes[:300], boxes[300:])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * found.nbytes
    few = rng.integers(0, 20_000, 50)
    np.testing.assert_array_equal(found[:, few], measured_overlaps(boxes[:300], boxes[300 + few]))


def test_empty_and_inverted_boxes_overlap_nothing():
    boxes = np.array([[0, 0, 10, 10], [5, 5, 5, 9], [8, 8, 2, 2]], np.float32)
    assert measured_overlaps(boxes, boxes).tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
