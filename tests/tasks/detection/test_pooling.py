"""RoI pooling and its gradient against plain loops over the cells of each bin."""

import math

import numpy as np
import pytest
import tensorflow as tf

from reskeras.tasks.detection.pooling import roi_pool

HEIGHT, WIDTH = 11, 14


def spans(low, high, size, length):
    """First cell and the one after the last of each bin of an axis."""
    start = math.floor(low + 0.5)
    end = max(math.floor(high + 0.5) - 1, start)
    cells = max(end - start + 1, 1)
    return [
        (
            min(max(start + math.floor(i * cells / size), 0), length),
            min(max(start + math.ceil((i + 1) * cells / size), 0), length),
        )
        for i in range(size)
    ]


def bins_of(box, size):
    """(place, cells) of every bin of a box."""
    top, left, bottom, right = map(float, box)
    for row, (first, beyond) in enumerate(spans(top, bottom, size, HEIGHT)):
        for column, (begin, end) in enumerate(spans(left, right, size, WIDTH)):
            yield (row, column), [(y, x) for y in range(first, beyond) for x in range(begin, end)]


def loops(features, boxes, size):
    found = np.zeros((len(boxes), size, size, features.shape[-1]), features.dtype)
    for region, box in enumerate(boxes):
        for place, cells in bins_of(box, size):
            if cells:
                found[region][place] = np.max([features[cell] for cell in cells], axis=0)
    return found


def gradient(features, upstream, boxes):
    found = np.zeros(features.shape)
    for region, box in enumerate(boxes):
        for place, cells in bins_of(box, upstream.shape[1]):
            for channel in range(features.shape[-1]) if cells else ():
                top = max(cells, key=lambda cell: features[cell][channel])
                found[(*top, channel)] += upstream[region][place][channel]
    return found


def batch(regions=40):
    """Features of one sign, so that a window that runs off the map would be noticed, and boxes, some reach outside."""
    rng = np.random.default_rng(0)
    features = -rng.uniform(1, 2, (2, HEIGHT, WIDTH, 3)).astype(np.float32)
    corners = rng.uniform(-3, 12, (2, regions, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0, 10, (2, regions, 2))], axis=-1).astype(np.float32)
    boxes[:, 0], boxes[:, 1], boxes[:, 2] = (0, 0, HEIGHT, WIDTH), (2, 2, 2, 2), (0.5, 1.5, 3.5, 9.5)
    boxes[:, 3], boxes[:, 4] = (30, 30, 38, 38), (-20, 3, -12, 9)
    return features, boxes


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pooling_equals_plain_loops(size):
    features, boxes = batch()
    found = roi_pool(tf.constant(features), tf.constant(boxes), size)
    for image in range(2):
        assert np.array_equal(found[image], loops(features[image], boxes[image], size))


def test_the_gradient_goes_to_the_largest_cell_and_none_reaches_the_boxes():
    features, boxes = map(tf.constant, batch())
    upstream = np.random.default_rng(1).normal(size=(2, 40, 3, 3, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch([features, boxes])
        value = tf.reduce_sum(roi_pool(features, boxes, 3) * upstream)
    to_features, to_boxes = tape.gradient(value, [features, boxes])
    assert to_boxes is None
    for image in range(2):
        assert np.allclose(
            to_features[image], gradient(features[image].numpy(), upstream[image], boxes[image].numpy()), atol=1e-4
        )


def test_of_equal_cells_one_gets_the_gradient():
    features, boxes = tf.zeros([2, HEIGHT, WIDTH, 3]), tf.constant(batch()[1])[:, :1]
    with tf.GradientTape() as tape:
        tape.watch(features)
        value = tf.reduce_sum(roi_pool(features, boxes, 2))
    assert set(tape.gradient(value, features).numpy().ravel()) == {0, 1}


def test_bins_by_hand():
    features = tf.reshape(tf.range(36.0), [1, 6, 6, 1])
    found = roi_pool(features, tf.constant([[[1.0, 1, 4, 4]]]), 2)  # three cells in two bins: they share the middle one
    assert found.numpy()[0, 0, :, :, 0].tolist() == [[14, 15], [20, 21]]


def test_a_box_longer_than_the_map_is_cut_to_it():
    features, _ = batch()
    boxes = tf.constant([[[-20, -30, 40, 50]], [[-20, 0, 40, 5]]], tf.float32)
    cut = tf.constant([[[0, 0, HEIGHT, WIDTH]], [[0, 0, HEIGHT, 5]]], tf.float32)
    assert np.array_equal(roi_pool(features, boxes, 3), roi_pool(features, cut, 3))


def test_half_precision_stays():
    features, boxes = batch()
    found = roi_pool(tf.cast(features, tf.bfloat16), tf.constant(boxes), 3)
    assert found.dtype == tf.bfloat16
    rounded = tf.cast(tf.cast(features, tf.bfloat16), tf.float32)
    assert np.array_equal(tf.cast(found, tf.float32), roi_pool(rounded, tf.constant(boxes), 3))


def test_shapes_stay_known_where_the_batch_is_not():
    @tf.function(input_signature=[tf.TensorSpec([None, HEIGHT, WIDTH, 3]), tf.TensorSpec([None, 40, 4])])
    def run(features, boxes):
        found = roi_pool(features, boxes, 3)
        assert found.shape.as_list() == [None, 40, 3, 3, 3]
        return found, tf.gradients(found, features)[0]

    features, boxes = map(tf.constant, batch())
    found, to_features = run(features, boxes)
    assert np.array_equal(found, roi_pool(features, boxes, 3)) and to_features.shape == features.shape
