"""Boxes against plain loops, and by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from reskeras.tasks.detection.boxes import areas, clipped, coverage, decoded, encoded, mirrored, overlaps


def area(box):
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def common(a, b):
    return area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def some_boxes(*shape, seed=0, empty=True):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 80, (*shape, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(2, 60, (*shape, 2))], axis=-1).astype(np.float32)
    if empty:
        boxes[..., 0, :], boxes[..., 1, 2] = 0, boxes[..., 1, 0]
    return boxes


def test_overlaps_and_coverage_equal_those_of_each_pair():
    a, b = some_boxes(2, 7), some_boxes(2, 5, seed=1)
    assert np.allclose(areas(a), [[area(box) for box in row] for row in a], rtol=1e-6)
    found, shares = overlaps(a, b).numpy(), coverage(a, b).numpy()
    for image in range(2):
        for i, first in enumerate(a[image]):
            for j, second in enumerate(b[image]):
                both = common(first, second)
                union = area(first) + area(second) - both
                assert found[image, i, j] == pytest.approx(both / union if union else 0, abs=1e-6)
                share = both / area(first) if area(first) else 0
                assert shares[image, i, j] == pytest.approx(share, abs=1e-6)


def test_overlaps_by_hand():
    whole, left, corner = (0, 0, 10, 10), (0, 0, 10, 5), (5, 5, 15, 15)
    found = overlaps(tf.constant([whole], tf.float32), tf.constant([whole, left, corner, (10, 0, 20, 10)], tf.float32))
    assert found.numpy()[0] == pytest.approx([1, 0.5, 25 / 175, 0])


def test_a_box_without_height_or_turned_round_overlaps_nothing_not_even_itself():
    boxes = tf.constant([[5, 5, 5, 20], [9, 9, 3, 3], [0, 0, 0, 0], [0, 0, 30, 30]], tf.float32)
    assert overlaps(boxes, boxes).numpy().tolist() == np.diag([0, 0, 0, 1]).tolist()
    assert coverage(boxes, boxes).numpy().tolist() == np.diag([0, 0, 0, 1]).tolist()


def test_anchors_go_with_the_objects_of_each_image_of_a_batch():
    anchors, objects = some_boxes(7), some_boxes(3, 5, seed=1)
    each = tf.stack([overlaps(anchors, objects[image]) for image in range(3)])
    assert np.array_equal(overlaps(anchors, objects), each)


def test_a_box_that_reaches_over_the_image_is_cut_off_and_one_outside_is_empty():
    boxes = tf.constant([[[-5, -5, 20, 30], [50, 50, 60, 60]], [[1, 2, 3, 4], [-9, 5, -3, 8]]], tf.float32)
    cut = clipped(boxes, tf.constant([[10, 20], [40, 40]]))
    assert cut.numpy().tolist() == [[[0, 0, 10, 20], [10, 20, 10, 20]], [[1, 2, 3, 4], [0, 5, 0, 8]]]
    assert areas(cut).numpy().tolist() == [[200, 0], [4, 0]]


def test_encoding_by_hand():
    deltas = encoded(tf.constant([[10, 20, 50, 40]], tf.float32), tf.constant([[0, 0, 20, 40]], tf.float32))
    assert deltas.numpy()[0] == pytest.approx([1.0, 0.25, math.log(2), math.log(0.5)])


def test_decoding_undoes_encoding():
    boxes, anchors = some_boxes(3, 6, empty=False), some_boxes(3, 6, seed=1, empty=False)
    assert np.allclose(decoded(encoded(boxes, anchors), anchors), boxes, atol=1e-3)
    assert np.allclose(decoded(tf.zeros_like(anchors), anchors), anchors, atol=1e-4)


def test_encoding_is_finite_for_padding_and_decoding_for_any_delta():
    anchors = some_boxes(4, empty=False)
    assert encoded(tf.zeros([4, 4]), anchors).numpy().tolist() == np.zeros([4, 4]).tolist()
    assert encoded(anchors, tf.zeros([4, 4])).numpy().tolist() == np.zeros([4, 4]).tolist()
    large = decoded(tf.fill([4, 4], 1e4), anchors).numpy()
    assert np.allclose(large[:, 2] - large[:, 0], (anchors[:, 2] - anchors[:, 0]) * 1000 / 16, rtol=1e-2)
    small = decoded(tf.constant([0, 0, -1e4, -1e4]), anchors).numpy()
    assert np.isfinite(small).all() and (small[:, 2] >= small[:, 0]).all()


@pytest.mark.parametrize("side", [0, 1])
def test_no_side_is_stretched_beyond_its_bound_and_each_is_up_to_it(side):
    anchor = np.float32([[10, 20, 14, 28]])
    for stretch, expected in ((60.0, 60.0), (62.4, 62.4), (63.0, 62.5), (1e4, 62.5), (1e-3, 1e-3)):
        deltas = np.zeros((1, 4), np.float32)
        deltas[0, 2 + side] = math.log(stretch)
        found = decoded(deltas, anchor).numpy()[0]
        sides = (found[2] - found[0], found[3] - found[1])
        assert sides[side] == pytest.approx((4, 8)[side] * expected, rel=1e-3)
        assert sides[1 - side] == pytest.approx((4, 8)[1 - side])


def test_deltas_in_half_precision_are_decoded_in_float32():
    anchors = some_boxes(4, empty=False)
    deltas = tf.cast(tf.fill([4, 4], 0.25), tf.bfloat16)
    assert decoded(deltas, anchors).dtype == tf.float32
    assert np.allclose(decoded(deltas, anchors), decoded(tf.fill([4, 4], 0.25), anchors))


def test_mirroring_follows_the_pixels():
    image = np.zeros((2, 8, 12))
    image[0, 1:4, 2:7], image[1, 5:8, 0:3] = 1, 1
    boxes = tf.constant([[[1, 2, 4, 7], [0, 0, 0, 0]], [[5, 0, 8, 3], [0, 0, 0, 0]]], tf.float32)
    found = mirrored(boxes, tf.constant([12, 12]))
    for pixels, (top, left, bottom, right) in zip(image[:, :, ::-1], found.numpy()[:, 0].astype(int), strict=True):
        assert pixels[top:bottom, left:right].all() and pixels.sum() == (bottom - top) * (right - left)
    assert areas(found).numpy()[:, 1].tolist() == [0, 0]
    assert np.array_equal(mirrored(found, tf.constant([12, 12])), boxes)


def test_shapes_stay_known_where_the_batch_is_not():
    @tf.function(input_signature=[tf.TensorSpec([None, 6, 4]), tf.TensorSpec([None, 2])])
    def shapes(boxes, size):
        anchors = tf.constant(some_boxes(6))
        assert overlaps(anchors, boxes).shape.as_list() == [None, 6, 6]
        assert coverage(anchors, boxes).shape.as_list() == [None, 6, 6]
        for result in (
            clipped(boxes, size),
            encoded(boxes, anchors),
            decoded(boxes, anchors),
            mirrored(boxes, size[:, 1]),
        ):
            assert result.shape.as_list() == [None, 6, 4]
        return clipped(boxes, size)

    assert shapes(some_boxes(2, 6), tf.constant([[90.0, 90], [50, 70]])).shape == (2, 6, 4)
