"""Matching of anchors to objects against plain loops, and by hand."""

import numpy as np
import pytest
import tensorflow as tf

from reskeras.tasks.detection import matching
from reskeras.tasks.detection.matching import MOST_PAIRS, NEGATIVE, NEITHER, POSITIVE, in_ignored
from reskeras.tasks.detection.objects import IGNORED


def matched(overlaps, real, positive, negative, best, most_pairs=MOST_PAIRS):
    return matching.matched(
        lambda rows: overlaps[:, :, rows], overlaps.shape[1], real, positive, negative, best, most_pairs
    )


def loops(overlaps, real, positive, negative, best):
    """What `matched` is to say of one image."""
    count, rows = overlaps.shape
    index, kind = [], []
    for anchor in range(count):
        row, most = 0, -1.0
        for other in range(rows):
            if real[other] and overlaps[anchor, other] > most:
                row, most = other, overlaps[anchor, other]
        is_positive, highest = most >= positive, most
        if best:
            most = -1.0
            for other in range(rows):
                top = max(overlaps[:, other])
                if real[other] and top > 0 and overlaps[anchor, other] == top and top > most:
                    row, most, is_positive = other, top, True
        index.append(row)
        kind.append(POSITIVE if is_positive else NEGATIVE if highest < negative else NEITHER)
    return index, kind


def check(overlaps, real, positive, negative, best, most_pairs):
    index, kind = matched(tf.constant(overlaps, tf.float32), tf.constant(real), positive, negative, best, most_pairs)
    assert index.dtype == kind.dtype == tf.int32
    for image in range(len(overlaps)):
        expected = loops(np.asarray(overlaps, np.float32)[image], real[image], positive, negative, best)
        assert (index[image].numpy().tolist(), kind[image].numpy().tolist()) == expected


@pytest.mark.parametrize("at_once", [1, 2, 4, 5])
def test_matching_equals_plain_loops_however_many_objects_are_compared_at_once(at_once):
    rng = np.random.default_rng(0)
    overlaps = np.round(rng.uniform(0, 1, (6, 40, 5)) ** 2, 1)  # rounded: many are equal
    real = rng.uniform(size=(6, 5)) < 0.7
    for best in (False, True):
        check(overlaps, real, 0.7, 0.3, best, 40 * at_once)
        check(overlaps, real, 0.5, 0.5, best, 40 * at_once)


def test_few_objects_are_compared_at_once_where_there_are_many():
    shares = np.random.default_rng(2).uniform(size=(1, 6, 50)).astype(np.float32)
    asked = []

    def overlaps(rows):
        part = tf.constant(shares)[:, :, rows]
        asked.append(part.shape[-1])
        return part

    found = matching.matched(overlaps, 6, tf.ones([1, 50], tf.bool), 0.7, 0.3, True, most_pairs=100)
    assert sum(asked) == 50 and max(asked) <= 100 / 6
    assert [each.numpy()[0].tolist() for each in found] == [*loops(shares[0], [True] * 50, 0.7, 0.3, True)]


def test_thresholds_belong_to_the_side_above():
    overlaps = tf.constant([[[0.75], [0.5], [0.25], [0.125]]])
    assert matched(overlaps, tf.constant([[True]]), 0.75, 0.25, False)[1].numpy().tolist() == [[1, -1, -1, 0]]


def test_without_objects_all_is_background():
    for best in (False, True):
        index, kind = matched(tf.ones([2, 3, 4]), tf.zeros([2, 4], tf.bool), 0.7, 0.3, best)
        assert index.numpy().tolist() == kind.numpy().tolist() == [[0, 0, 0], [0, 0, 0]]


def test_every_object_gets_its_best_anchors_however_little_they_overlap():
    overlaps = tf.constant([[[0.125, 0.0], [0.125, 0.0], [0.0, 0.9]]])
    real = tf.constant([[True, True]])
    index, kind = matched(overlaps, real, 0.7, 0.3, True)
    assert (index.numpy().tolist(), kind.numpy().tolist()) == ([[0, 0, 1]], [[1, 1, 1]])
    assert matched(overlaps, real, 0.7, 0.3, False)[1].numpy().tolist() == [[0, 0, 1]]


def test_the_best_anchor_of_an_object_is_its_own_even_where_it_overlaps_another_more():
    overlaps = tf.constant([[[0.6, 0.5], [0.8, 0.1]]])  # anchor 0 overlaps object 0 more, but object 1 has none better
    real = tf.constant([[True, True]])
    assert matched(overlaps, real, 0.7, 0.3, True)[0].numpy().tolist() == [[1, 0]]
    assert matched(overlaps, real, 0.7, 0.3, False)[0].numpy().tolist() == [[0, 0]]


def test_an_object_that_no_anchor_touches_makes_none_positive():
    index, kind = matched(tf.zeros([1, 3, 2]), tf.constant([[True, True]]), 0.7, 0.3, True)
    assert kind.numpy().tolist() == [[0, 0, 0]] and index.numpy().tolist() == [[0, 0, 0]]


def test_padding_is_never_matched():
    overlaps = tf.constant([[[0.9, 0.4], [1.0, 0.0]]])  # row 0 is padding
    index, kind = matched(overlaps, tf.constant([[False, True]]), 0.7, 0.3, True)
    assert (index.numpy().tolist(), kind.numpy().tolist()) == ([[1, 1]], [[1, 0]])


def test_shapes_stay_known_where_the_batch_is_not():
    @tf.function(input_signature=[tf.TensorSpec([None, 9, 3]), tf.TensorSpec([None, 3], tf.bool)])
    def run(overlaps, real):
        index, kind = matched(overlaps, real, 0.7, 0.3, True)
        assert index.shape.as_list() == kind.shape.as_list() == [None, 9]
        return index, kind

    rng = np.random.default_rng(1)
    overlaps, real = rng.uniform(size=(2, 9, 3)).astype(np.float32), np.ones((2, 3), bool)
    index, kind = run(overlaps, real)
    for image in range(2):
        assert (index[image].numpy().tolist(), kind[image].numpy().tolist()) == loops(
            overlaps[image], real[image], 0.7, 0.3, True
        )


@pytest.mark.parametrize("most_pairs", [1, MOST_PAIRS])
def test_a_box_lies_in_an_ignored_object_wherever_that_is_among_the_others(most_pairs):
    boxes = tf.constant([[0.0, 0, 10, 10], [20, 20, 30, 30]])
    objects = tf.constant([[[0.0, 0, 9, 9], [19, 19, 40, 40], [0, 0, 10, 4]]])
    for labels, expected in (((0, IGNORED, IGNORED), [False, True]), ((IGNORED, 0, IGNORED), [True, False])):
        found = in_ignored(boxes, objects, tf.constant([labels]), tf.zeros([1, 2], tf.int32), most_pairs)
        assert found.numpy().tolist() == [expected]
    assert not in_ignored(boxes, objects, tf.fill([1, 3], IGNORED), tf.ones([1, 2], tf.int32), most_pairs).numpy().any()
