"""What is drawn: how many of which, how evenly, and from which seed."""

import numpy as np
import tensorflow as tf

from reskeras.tasks.detection.matching import NEGATIVE, NEITHER, POSITIVE
from reskeras.tasks.detection.sampling import sampled


def kinds(positive, negative, neither, seed=0):
    order = np.random.default_rng(seed).permutation(positive + negative + neither)
    return np.array([POSITIVE] * positive + [NEGATIVE] * negative + [NEITHER] * neither, np.int32)[order]


def draw(kind, count, positives, seed=0):
    """Kinds of those drawn of one image, in order, and their indices; none twice."""
    indices, weights = sampled(tf.constant(kind[None]), count, positives, tf.constant([[seed, 5]]))
    assert indices.shape == weights.shape == (1, count)
    assert (indices.dtype, weights.dtype) == (tf.int32, tf.float32)
    assert ((indices >= 0) & (indices < len(kind))).numpy().all()
    taken = indices[0].numpy()[weights[0].numpy() == 1]
    assert set(weights[0].numpy()) <= {0, 1} and len(set(taken)) == len(taken)
    return kind[taken].tolist(), taken


def test_positive_ones_come_first_and_are_at_most_so_many():
    assert draw(kinds(50, 100, 20), 32, 16)[0] == [1] * 16 + [0] * 16


def test_negative_ones_fill_the_place_of_lacking_positive_ones():
    assert draw(kinds(3, 100, 20), 32, 16)[0] == [1] * 3 + [0] * 29
    assert draw(kinds(0, 100, 20), 32, 16)[0] == [0] * 32


def test_positive_ones_never_fill_the_place_of_lacking_negative_ones():
    assert draw(kinds(50, 5, 20), 32, 16)[0] == [1] * 16 + [0] * 5
    assert draw(kinds(2, 0, 20), 32, 16)[0] == [1] * 2
    assert draw(kinds(0, 0, 20), 32, 16)[0] == []


def test_fewer_anchors_than_wanted_and_no_positive_ones_wanted():
    assert draw(kinds(3, 4, 2), 32, 16)[0] == [1] * 3 + [0] * 4
    assert draw(kinds(3, 40, 2), 8, 0)[0] == [0] * 8
    assert draw(kinds(30, 40, 2), 8, 100)[0] == [1] * 8


def test_each_is_drawn_as_often_as_every_other():
    kind, times = kinds(20, 30, 10), 3000
    seeds = tf.stack([tf.range(times), tf.fill([times], 7)], axis=1)
    indices, weights = sampled(tf.tile(kind[None], [times, 1]), 16, 8, seeds)
    drawn = np.bincount(indices.numpy().ravel(), weights.numpy().ravel(), minlength=60)
    for which, share in ((POSITIVE, 8 / 20), (NEGATIVE, 8 / 30)):
        deviation = np.sqrt(times * share * (1 - share))
        assert np.abs(drawn[kind == which] - times * share).max() < 4.5 * deviation
    assert drawn[kind == NEITHER].sum() == 0
    first = np.bincount(indices.numpy()[:, 0], minlength=60)[kind == POSITIVE]  # in no order of their places
    assert np.abs(first - times / 20).max() < 4.5 * np.sqrt(times / 20)


def test_an_image_is_drawn_alike_wherever_it_stands_in_a_batch_and_otherwise_with_another_seed():
    kind, other = kinds(50, 100, 20), kinds(50, 100, 20, seed=1)
    both, _ = sampled(tf.constant([other, kind]), 32, 16, tf.constant([[1, 2], [3, 4]]))
    alone, _ = sampled(tf.constant([kind]), 32, 16, tf.constant([[3, 4]]))
    again, _ = sampled(tf.constant([kind]), 32, 16, tf.constant([[3, 5]]))
    assert np.array_equal(both[1], alone[0]) and not np.array_equal(alone, again)


def test_shapes_stay_known_where_the_batch_is_not():
    @tf.function(input_signature=[tf.TensorSpec([None, 170], tf.int32), tf.TensorSpec([None, 2], tf.int32)])
    def run(kind, seeds):
        indices, weights = sampled(kind, 32, 16, seeds)
        assert indices.shape.as_list() == weights.shape.as_list() == [None, 32]
        return indices, weights

    kind, seeds = tf.constant([kinds(50, 100, 20), kinds(2, 10, 158)]), tf.constant([[1, 2], [3, 4]])
    for inside, outside in zip(run(kind, seeds), sampled(kind, 32, 16, seeds), strict=True):
        assert np.array_equal(inside, outside)
