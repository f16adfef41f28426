"""RoIAlign and its gradient against plain loops over the four neighbours of each sample."""

import numpy as np
import pytest
import tensorflow as tf

from reskeras.tasks.detection.align import roi_align

BOXES = np.array(
    [
        [1.3, 2.1, 5.2, 7.9],
        [0, 0, 6, 9],
        [-3.5, -2.2, 4.4, 3.3],
        [4.1, 6.2, 9.7, 14.5],
        [2, 3, 2.25, 3.1],
        [3, 3, 3, 3],
        [20, 20, 30, 30],
    ],
    np.float32,
)  # inside, whole, over each corner, tiny, empty, outside


def neighbours(y, x, height, width):
    """(row, column, weight) of what a point is interpolated from."""
    if y < -1 or y > height or x < -1 or x > width:
        return []
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    row, column = int(y), int(x)
    below, right = min(row + 1, height - 1), min(column + 1, width - 1)
    down, aside = y - row, x - column
    return [
        (row, column, (1 - down) * (1 - aside)),
        (row, right, (1 - down) * aside),
        (below, column, down * (1 - aside)),
        (below, right, down * aside),
    ]


def samples_of(box, size, samples, height, width):
    """((bin's row, bin's column), neighbours) of every sample of a box."""
    top, left, bottom, right = map(float, box)
    for row in range(size):
        for column in range(size):
            for i in range(samples):
                for j in range(samples):
                    y = top + (row + (i + 0.5) / samples) * (bottom - top) / size - 0.5
                    x = left + (column + (j + 0.5) / samples) * (right - left) / size - 0.5
                    yield (row, column), neighbours(y, x, height, width)


def loops(features, boxes, size, samples):
    found = np.zeros((len(boxes), size, size, features.shape[-1]))
    for region, box in enumerate(boxes):
        for place, cells in samples_of(box, size, samples, *features.shape[:2]):
            for row, column, weight in cells:
                found[region][place] += weight * features[row, column] / samples**2
    return found


def transposed(upstream, boxes, shape, samples):
    """What reaches each feature of what reaches each bin."""
    found = np.zeros(shape)
    for region, box in enumerate(boxes):
        for place, cells in samples_of(box, upstream.shape[1], samples, *shape[:2]):
            for row, column, weight in cells:
                found[row, column] += weight * upstream[region][place] / samples**2
    return found


def batch(seed=0):
    """Features (2, 6, 9, 3) and boxes (2, 7, 4), other ones in the second image."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, 6, 9, 3)).astype(np.float32), np.stack([BOXES, BOXES[::-1] * 0.7])


@pytest.mark.parametrize(("size", "samples"), [(1, 1), (3, 2), (7, 2), (2, 3)])
def test_align_equals_plain_loops(size, samples):
    features, boxes = batch()
    found = roi_align(tf.constant(features), tf.constant(boxes), size, samples)
    for image in range(2):
        assert np.allclose(found[image], loops(features[image], boxes[image], size, samples), atol=1e-5)


def test_the_gradient_is_the_transpose_and_none_reaches_the_boxes():
    features, boxes = map(tf.constant, batch())
    upstream = np.random.default_rng(1).normal(size=(2, 7, 3, 3, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        tape.watch([features, boxes])
        value = tf.reduce_sum(roi_align(features, boxes, 3) * upstream)
    to_features, to_boxes = tape.gradient(value, [features, boxes])
    assert to_boxes is None
    for image in range(2):
        expected = transposed(upstream[image], boxes[image].numpy(), (6, 9, 3), 2)
        assert np.abs(expected).max() > 0.5 and np.allclose(to_features[image], expected, atol=1e-5)


def test_a_map_that_rises_evenly_has_in_a_bin_its_height_at_the_centre_of_the_bin():
    rows, columns = np.meshgrid(np.arange(8) + 0.5, np.arange(8) + 0.5, indexing="ij")
    features = tf.constant(np.stack([rows, columns], axis=-1)[None], tf.float32)  # the feature is where it stands
    found = roi_align(features, tf.constant([[[1.0, 2, 7, 5]]]), 3).numpy()[0, 0]
    assert np.allclose(found[:, 0, 0], [2, 4, 6], atol=1e-5) and np.allclose(found[0, :, 1], [2.5, 3.5, 4.5], atol=1e-5)


def test_bins_of_whole_cells_are_the_features_themselves():
    features, _ = batch()
    found = roi_align(tf.constant(features), tf.tile(tf.constant([[[1.0, 2, 5, 6]]]), [2, 1, 1]), 4, samples=1)
    assert np.allclose(found[:, 0], features[:, 1:5, 2:6], atol=1e-6)


def test_a_region_wholly_outside_is_zeros():
    features, boxes = batch()
    assert not roi_align(tf.constant(features), tf.constant(boxes), 3)[0, -1].numpy().any()


def test_half_precision_stays_and_is_near():
    features, boxes = batch()
    found = roi_align(tf.cast(features, tf.bfloat16), tf.constant(boxes), 3)
    assert found.dtype == tf.bfloat16
    assert np.allclose(tf.cast(found, tf.float32), roi_align(tf.constant(features), tf.constant(boxes), 3), atol=0.05)


@pytest.mark.parametrize("known", [(6, 9), (None, None)])
def test_shapes_stay_known_where_the_batch_or_the_map_is_not(known):
    @tf.function(input_signature=[tf.TensorSpec([None, *known, 3]), tf.TensorSpec([None, 7, 4])])
    def run(features, boxes):
        found = roi_align(features, boxes, 3)
        assert found.shape.as_list() == [None, 7, 3, 3, 3]
        return found, tf.gradients(found, features)[0]

    features, boxes = map(tf.constant, batch())
    found, gradient = run(features, boxes)
    assert np.allclose(found, roi_align(features, boxes, 3), atol=1e-6) and gradient.shape == features.shape
