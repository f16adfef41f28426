"""From regions to what is told of an image, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from reskeras.networks.detector import DetectorSpec
from reskeras.tasks.detection.average_precision import measured_overlaps
from reskeras.tasks.detection.select import region_boxes, selected, voted
from tests.tasks.detection.shapes import DETECTOR
from tests.tasks.detection.test_layers import moved


def spec(**detections):
    return DetectorSpec.model_validate({**DETECTOR, "classes": 3, "detections": detections})


def test_a_regions_box_is_moved_for_each_class_and_cut_to_the_window():
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 30, (1, 5, 2))
    regions = np.concatenate([corners, corners + generator.uniform(5, 20, (1, 5, 2))], axis=-1).astype(np.float32)
    regions[0, 4] = 0
    logits, deltas = (generator.normal(size=(1, 5, count)).astype(np.float32) for count in (4, 12))
    window = np.float32([[2, 3, 40, 38]])
    boxes, scores = region_boxes(tf.constant(regions), tf.constant(logits), tf.constant(deltas), window, spec())
    for region in range(4):
        likely = np.exp(logits[0, region]) / np.exp(logits[0, region]).sum()
        assert np.allclose(scores[0, region], likely[:3], atol=1e-6)
        for label in range(3):
            delta = deltas[0, region, 4 * label : 4 * label + 4] * [0.1, 0.1, 0.2, 0.2]
            expected = np.clip(moved(regions[0, region], delta), [2, 3, 2, 3], [40, 38, 40, 38])
            assert np.allclose(boxes[0, region, label], expected, atol=1e-4)
    assert np.count_nonzero(scores[0, 4]) == 0  # an empty region is nothing


@pytest.mark.parametrize("geometry", ["exact", "cell", "torchvision"])
def test_no_box_is_told_that_is_thinner_than_a_hundredth_of_a_pixel_or_outside_the_image(geometry):
    regions = np.float32([[[0, 0, 10, 10]] * 3])
    deltas = np.zeros([1, 3, 12], np.float32)
    deltas[0, 1, 2::4] = -60.0  # times a deviation of 0.2: 6e-6 of the height
    deltas[0, 2, 1::4] = 30.0  # three times the width to the right
    logits, window = np.zeros([1, 3, 4], np.float32), tf.constant([[0.0, 0, 20, 20]])
    _, scores = region_boxes(
        *map(tf.constant, (regions, logits, deltas)), window, spec().model_copy(update={"geometry": geometry})
    )
    np.testing.assert_allclose(scores[0], [[1 / 4] * 3, [0.0] * 3, [0.0] * 3], rtol=1e-6)


def test_told_are_the_best_above_the_score():
    boxes = np.float32([[[[0, 0, 10, 10]] * 3, [[0, 0, 10, 9]] * 3, [[20, 20, 30, 30]] * 3]])
    scores = np.float32([[[0.9, 0.2, 0.0], [0.8, 0.3, 0.04], [0.1, 0.7, 0.05]]])
    found = selected(tf.constant(boxes), tf.constant(scores), spec(most=4))
    assert found["count"].numpy().tolist() == [4]
    assert np.allclose(found["scores"][0], [0.9, 0.7, 0.3, 0.1])
    assert found["labels"].numpy()[0].tolist() == [0, 1, 1, 0]
    assert found["boxes"].numpy()[0, 2].tolist() == [0, 0, 10, 9]
    few = selected(tf.constant(boxes), tf.constant(scores), spec(score=0.5, most=4))
    assert few["count"].numpy().tolist() == [2]
    assert few["labels"].numpy()[0].tolist() == [0, 1, -1, -1]
    assert np.count_nonzero(few["boxes"][0, 2:]) == 0


def test_votes_are_means_of_what_overlaps():
    generator = np.random.default_rng(1)
    corners = generator.uniform(0, 10, (2, 6, 3, 2))
    boxes = np.concatenate([corners, corners + generator.uniform(8, 20, (2, 6, 3, 2))], axis=-1).astype(np.float32)
    scores = generator.uniform(size=(2, 6, 3)).astype(np.float32)
    labels = np.int32([[0, 2, -1], [1, 1, 0]])
    best = np.stack(
        [[boxes[image, place, label] for place, label in enumerate(row)] for image, row in enumerate(labels)]
    )
    found = voted(tf.constant(best), tf.constant(labels), tf.constant(boxes), tf.constant(scores), 0.5).numpy()
    for image, row in enumerate(labels):
        for place, label in enumerate(row):
            if label < 0:
                continue
            own = boxes[image, :, label]
            near = measured_overlaps(best[image, place][None], own)[0] >= 0.5
            expected = np.average(own[near], axis=0, weights=scores[image, near, label])
            assert near.any()
            assert np.allclose(found[image, place], expected, atol=1e-4)


def test_refining_suppresses_at_a_lower_overlap():
    boxes = np.float32([[[[0, 0, 10, 10]] * 3, [[0, 4, 10, 14]] * 3]])  # 60 of 140 pixels in common
    scores = np.float32([[[0.9, 0, 0], [0.8, 0, 0]]])
    assert selected(tf.constant(boxes), tf.constant(scores), spec())["count"].numpy().tolist() == [2]
    assert selected(tf.constant(boxes), tf.constant(scores), spec(), 0.3)["count"].numpy().tolist() == [1]


def test_boxes_below_the_score_have_no_vote():
    boxes = np.float32([[[[0, 0, 10, 10]] * 3, [[0, 0, 10, 12]] * 3, [[0, 0, 12, 10]] * 3]])
    scores = np.float32([[[0.6, 0, 0], [0.3, 0, 0], [0.1, 0, 0]]])
    found = selected(tf.constant(boxes), tf.constant(scores), spec(score=0.2, most=2), votes=0.5)
    assert found["count"].numpy().tolist() == [1]
    np.testing.assert_allclose(found["boxes"][0, 0], [0, 0, 10, 32 / 3], rtol=1e-6)  # a third of the way to the second
    assert np.count_nonzero(found["boxes"][0, 1]) == 0
    alone = selected(tf.constant(boxes), tf.constant(scores), spec(score=0.2, most=2))
    assert alone["boxes"][0, 0].numpy().tolist() == [0, 0, 10, 10]


def test_the_spec_says_how_boxes_suppress_each_other():
    boxes = np.float32([[[[0, 0, 10, 10]] * 3, [[0, 0, 10, 8]] * 3]])  # an IoU of 0.8
    scores = np.float32([[[0.9, 0.3, 0], [0.8, 0, 0]]])

    def told(**detections):
        found = selected(tf.constant(boxes), tf.constant(scores), spec(**detections))
        count = int(found["count"][0])
        return list(zip(found["labels"].numpy()[0, :count].tolist(), found["scores"].numpy()[0, :count], strict=True))

    def expect(found, pairs):
        assert [label for label, _ in found] == [label for label, _ in pairs]
        np.testing.assert_allclose([score for _, score in found], [score for _, score in pairs], rtol=1e-5)

    expect(told(), [(0, 0.9), (1, 0.3)])
    expect(told(class_agnostic=True), [(0, 0.9)])
    expect(told(suppression="linear"), [(0, 0.9), (1, 0.3), (0, 0.8 * 0.2)])
    expect(told(suppression="gaussian", sigma=1), [(0, 0.9), (0, 0.8 * np.exp(-0.64)), (1, 0.3)])
    both = [(0, 0.9), (0, 0.8 * np.exp(-0.64)), (1, 0.3 * np.exp(-1 - 0.64))]
    expect(told(suppression="gaussian", sigma=1, class_agnostic=True), both)


def test_a_spec_from_before_there_were_kinds_of_suppression_means_hard_by_class():
    assert spec(score=0.1).detections == spec(score=0.1, suppression="hard", class_agnostic=False).detections
    with pytest.raises(ValueError, match="'hard', 'linear' or 'gaussian'"):
        spec(suppression="softest")
