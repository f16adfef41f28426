"""Suppression, hard and soft, against plain loops: alone, by class and across, in graphs and in a SavedModel."""

import numpy as np
import pytest
import tensorflow as tf

from reskeras.networks.detector import DetectionSpec
from reskeras.tasks.detection.suppression import across_classes, by_class, suppressed, suppression


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


DECAYS = {  # of the overlap of two boxes, at a threshold of 0.3 and a sigma of 0.4
    "hard": lambda near: float(near <= 0.3),
    "linear": lambda near: 1 - near if near > 0.3 else 1.0,
    "gaussian": lambda near: np.exp(-(near**2) / 0.4),
}


def soft_loops(boxes, scores, count, lowest, decay):
    """(index, score) of what is kept of one image, in order: figure 2 of arXiv:1704.04503, line by line."""
    scores, kept = dict(enumerate(scores)), []
    while scores and len(kept) < count:
        best = max(scores, key=scores.get)
        if scores[best] <= lowest:
            break
        kept.append((best, scores.pop(best)))
        scores = {index: score * decay(overlap_of(boxes[best], boxes[index])) for index, score in scores.items()}
    return kept


def kind_of(name):
    return suppression(DetectionSpec(suppression=name, sigma=0.4))


@pytest.mark.parametrize(("count", "lowest"), [(6, 0.05), (60, 0.05), (100, 0.0)])
@pytest.mark.parametrize("name", DECAYS)
def test_each_kind_of_suppression_equals_the_papers_loop(name, count, lowest):
    boxes, scores = crowds(3, 60, seed=2)
    found, best, indices, valid = kind_of(name)(boxes, scores, count, 0.3, lowest)
    for image in range(3):
        kept = soft_loops(boxes[image], scores[image], count, lowest, DECAYS[name])
        assert len(kept) == valid[image] > 3
        padding = count - len(kept)
        assert indices[image].numpy().tolist() == [index for index, _ in kept] + [0] * padding
        np.testing.assert_allclose(best[image], [score for _, score in kept] + [0] * padding, rtol=1e-5)
        assert np.array_equal(found[image, : len(kept)], boxes[image, [index for index, _ in kept]])
        assert not found[image, len(kept) :].numpy().any()


@pytest.mark.parametrize("name", DECAYS)
def test_across_classes_a_box_suppresses_those_of_any_class(name):
    boxes, scores = crowds(2, 20, 3, seed=3)
    found, best, labels, valid = across_classes(boxes, scores, 30, 0.3, 0.05, kind_of(name))
    assert labels.dtype == tf.int32
    for image in range(2):
        kept = soft_loops(boxes[image].reshape(-1, 4), scores[image].ravel(), 30, 0.05, DECAYS[name])
        assert valid[image] == len(kept)
        assert labels[image].numpy().tolist() == [index % 3 for index, _ in kept] + [-1] * (30 - len(kept))
        np.testing.assert_allclose(best[image, : len(kept)], [score for _, score in kept], rtol=1e-5)
        assert np.array_equal(found[image, : len(kept)], [boxes[image, index // 3, index % 3] for index, _ in kept])


@pytest.mark.parametrize("name", ["linear", "gaussian"])
def test_soft_suppression_by_class_leaves_other_classes_alone(name):
    boxes, scores = crowds(2, 20, 3, seed=4)
    _, best, labels, valid = by_class(boxes, scores, 100, 0.3, 0.05, kind_of(name))
    for image in range(2):
        every = [
            (score, label)
            for label in range(3)
            for _, score in soft_loops(boxes[image, :, label], scores[image, :, label], 100, 0.05, DECAYS[name])
        ]
        every = sorted(every, reverse=True)
        assert valid[image] == len(every)
        assert labels[image, : len(every)].numpy().tolist() == [label for _, label in every]
        np.testing.assert_allclose(best[image, : len(every)], [score for score, _ in every], rtol=1e-5)


@pytest.mark.parametrize("name", ["linear", "gaussian"])
def test_soft_suppression_of_nothing_and_of_what_is_no_number(name):
    boxes = tf.constant([[[0.0, 0, 9, 9], [0, 0, 9, 9], [20, 0, 29, 9]]])
    found, best, _, valid = kind_of(name)(boxes, tf.constant([[np.nan, 0.01, np.nan]]), 4, 0.5, 0.05)
    assert valid.numpy().tolist() == [0]
    assert not best.numpy().any() and not found.numpy().any()
    _, best, _, valid = kind_of(name)(boxes, tf.constant([[0.8, 0.9, np.nan]]), 4, 0.5, 0.05)
    assert valid.numpy().tolist() == [1 if name == "linear" else 2]  # of the same box a factor of 0, or exp(-1 / 0.4)
    assert best.numpy()[0, 0] == pytest.approx(0.9)


class Both(tf.Module):
    """Both functions, as an exported detector has them."""

    @tf.function(input_signature=[tf.TensorSpec([None, 40, 3, 4]), tf.TensorSpec([None, 40, 3])])
    def run(self, boxes, scores):
        first = suppressed(boxes[:, :, 0], scores[:, :, 0], 8, 0.4)
        second = by_class(boxes, scores, 9, 0.3, 0.05)
        second += across_classes(boxes, scores, 9, 0.3, 0.05, kind_of("linear"))
        assert [part.shape.as_list() for part in first] == [[None, 8, 4], [None, 8], [None, 8], [None]]
        assert [part.shape.as_list() for part in second] == [[None, 9, 4], [None, 9], [None, 9], [None]] * 2
        return (*first, *second)


def test_a_saved_model_does_the_same_with_any_batch(tmp_path):
    tf.saved_model.save(Both(), str(tmp_path))
    restored = tf.saved_model.load(str(tmp_path))
    for batch in (1, 3):
        boxes, scores = map(tf.constant, crowds(batch, 40, 3))
        direct = (
            *suppressed(boxes[:, :, 0], scores[:, :, 0], 8, 0.4),
            *by_class(boxes, scores, 9, 0.3, 0.05),
            *across_classes(boxes, scores, 9, 0.3, 0.05, kind_of("linear")),
        )
        for there, here in zip(restored.run(boxes, scores), direct, strict=True):
            assert np.array_equal(there, here)
