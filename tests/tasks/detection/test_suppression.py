"""Suppression against plain loops, alone and in each class, in graphs and in a SavedModel."""

import numpy as np
import pytest
import tensorflow as tf

from reskeras.tasks.detection.suppression import by_class, suppressed


def overlap_of(a, b):
    height, width = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(height, 0) * max(width, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / union if union > 0 else 0


def loops(boxes, scores, count, overlap, lowest=-np.inf):
    """Indices that are kept of one image, best first."""
    kept = []
    for index in sorted(range(len(scores)), key=lambda index: -scores[index]):
        if (
            len(kept) < count
            and scores[index] > lowest
            and all(overlap_of(boxes[index], boxes[other]) <= overlap for other in kept)
        ):
            kept.append(index)
    return kept


def crowds(*shape, seed=0):
    """Boxes about a few places, so that many overlap, and scores in 0..1 all of which differ."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(50, 250, (6, 2))[rng.integers(0, 6, shape)] + rng.normal(0, 8, (*shape, 2))
    sides = rng.uniform(30, 60, (*shape, 2))
    scores = rng.permutation(np.linspace(0.01, 0.99, int(np.prod(shape)))).reshape(shape)
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=-1).astype(np.float32), scores.astype(
        np.float32
    )


@pytest.mark.parametrize(("count", "lowest"), [(5, -np.inf), (100, -np.inf), (100, 0.5)])
def test_suppression_equals_plain_loops(count, lowest):
    boxes, scores = crowds(3, 80)
    found, best, indices, valid = suppressed(boxes, scores, count, 0.4, lowest)
    assert (indices.dtype, valid.dtype) == (tf.int32, tf.int32)
    for image in range(3):
        kept = loops(boxes[image], scores[image], count, 0.4, lowest)
        assert len(kept) == valid[image] > 3
        padding = count - len(kept)
        assert indices[image].numpy().tolist() == kept + [0] * padding
        assert np.array_equal(found[image], np.concatenate([boxes[image, kept], np.zeros((padding, 4))]))
        assert np.array_equal(best[image], np.concatenate([scores[image, kept], np.zeros(padding)]))


def test_scores_may_be_logits_and_what_is_minus_infinity_or_no_number_is_left_out():
    boxes = tf.constant([[[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9], [60, 0, 69, 9]]], tf.float32)
    scores = tf.constant([[-7.0, -np.inf, np.nan, -3.0]])
    found, best, indices, valid = suppressed(boxes, scores, 4, 0.5)
    assert (valid.numpy().tolist(), indices.numpy().tolist()) == ([2], [[3, 0, 0, 0]])
    assert best.numpy().tolist() == [[-3, -7, 0, 0]] and np.isfinite(found).all()
    found, best, _, valid = suppressed(boxes, tf.fill([1, 4], -np.inf), 2, 0.5)
    assert valid.numpy().tolist() == [0]
    assert not found.numpy().any() and not best.numpy().any()


def test_a_box_that_overlaps_just_as_much_as_is_allowed_stays():
    boxes = tf.constant([[[0, 0, 10, 10], [0, 0, 10, 5]]], tf.float32)
    assert suppressed(boxes, tf.constant([[0.9, 0.8]]), 2, 0.5)[3].numpy().tolist() == [2]
    assert suppressed(boxes, tf.constant([[0.9, 0.8]]), 2, 0.49)[3].numpy().tolist() == [1]


@pytest.mark.parametrize(("count", "lowest"), [(7, 0.05), (200, 0.05), (200, 0.0), (200, -1e9)])
def test_suppression_by_class_equals_plain_loops_in_each_class(count, lowest):
    boxes, scores = crowds(2, 40, 3)
    if lowest < 0:
        scores = 4 * scores - 3  # no probabilities, but scores below -1 as well
    found, best, labels, valid = by_class(boxes, scores, count, 0.3, lowest)
    assert labels.dtype == valid.dtype == tf.int32
    for image in range(2):
        every = [
            (scores[image, index, label], label, boxes[image, index, label].tolist())
            for label in range(3)
            for index in loops(boxes[image, :, label], scores[image, :, label], count, 0.3, lowest)
        ]
        every = sorted(every, reverse=True)[:count]
        padding = count - len(every)
        assert valid[image] == len(every) > 3
        assert np.array_equal(best[image], np.array([score for score, _, _ in every] + [0] * padding, np.float32))
        assert labels[image].numpy().tolist() == [label for _, label, _ in every] + [-1] * padding
        assert found[image].numpy().tolist() == [box for _, _, box in every] + [[0] * 4] * padding


def test_the_same_box_stays_in_two_classes():
    boxes = tf.tile(tf.constant([[[[10.0, 10, 20, 20]]]]), [1, 2, 2, 1])
    _, best, labels, valid = by_class(boxes, tf.constant([[[0.9, 0.2], [0.8, 0.1]]]), 3, 0.5, 0.0)
    assert (valid.numpy().tolist(), labels.numpy().tolist()) == ([2], [[0, 1, -1]])
    assert best.numpy()[0] == pytest.approx([0.9, 0.2, 0])


def test_boxes_in_pixels_are_not_cut_to_a_unit_square():
    found, *_ = by_class(tf.constant([[[[-10.0, 5, 300, 500]]]]), tf.constant([[[0.5]]]), 1, 0.5, 0.0)
    assert found.numpy().tolist() == [[[-10, 5, 300, 500]]]


def test_without_any_score_above_the_lowest_nothing_is_found():
    boxes, _ = crowds(1, 10, 2)
    for scores in (np.full((1, 10, 2), 0.04), np.full((1, 10, 2), np.nan)):
        found, best, labels, valid = by_class(boxes, tf.constant(scores, tf.float32), 4, 0.5, 0.05)
        assert (valid.numpy().tolist(), labels.numpy().tolist()) == ([0], [[-1] * 4])
        assert not found.numpy().any() and not best.numpy().any()


class Both(tf.Module):
    """Both functions, as an exported detector has them."""

    @tf.function(input_signature=[tf.TensorSpec([None, 40, 3, 4]), tf.TensorSpec([None, 40, 3])])
    def run(self, boxes, scores):
        first = suppressed(boxes[:, :, 0], scores[:, :, 0], 8, 0.4)
        second = by_class(boxes, scores, 9, 0.3, 0.05)
        assert [part.shape.as_list() for part in first] == [[None, 8, 4], [None, 8], [None, 8], [None]]
        assert [part.shape.as_list() for part in second] == [[None, 9, 4], [None, 9], [None, 9], [None]]
        return (*first, *second)


def test_a_saved_model_does_the_same_with_any_batch(tmp_path):
    tf.saved_model.save(Both(), str(tmp_path))
    restored = tf.saved_model.load(str(tmp_path))
    for batch in (1, 3):
        boxes, scores = map(tf.constant, crowds(batch, 40, 3))
        direct = (*suppressed(boxes[:, :, 0], scores[:, :, 0], 8, 0.4), *by_class(boxes, scores, 9, 0.3, 0.05))
        for there, here in zip(restored.run(boxes, scores), direct, strict=True):
            assert np.array_equal(there, here)
