"""Non-maximum suppression (NMS) of a batch of boxes, hard or soft; over all boxes, by class or across classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import tensorflow as tf

from reskeras.networks.detector import DetectionSpec
from reskeras.tasks.detection.boxes import overlaps
from reskeras.tasks.detection.objects import PADDING

LOWEST = float("-inf")
Suppressed = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]
Suppress = Callable[[tf.Tensor, tf.Tensor, int, float, float], Suppressed]  # the arguments of `suppressed`
Decay = Callable[[tf.Tensor, float], tf.Tensor]  # overlaps with a better box, and the threshold, to factors of scores


def suppressed(boxes: tf.Tensor, scores: tf.Tensor, count: int, overlap: float, lowest: float = LOWEST) -> Suppressed:
    """The best boxes of each image by descending score, without those that overlap a better one by more than `overlap`.

    From boxes (B, N, 4) and scores (B, N), at most `count` with a score above `lowest`: boxes float32 (B, count, 4),
    scores float32 (B, count), their indices in 0..N-1 int32 (B, count), and how many are valid, int32 (B,). The rest
    is zeros. A score of -inf or NaN is never valid, which masks boxes beforehand. Gradients are stopped.
    """
    boxes, scores = (tf.cast(tf.stop_gradient(values), tf.float32) for values in (boxes, scores))

    def one(image: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        # tf.image.non_max_suppression_padded is a loop of matrix ops, about four times slower on a CPU
        return tuple(
            tf.raw_ops.NonMaxSuppressionV4(
                boxes=image[0],
                scores=image[1],
                max_output_size=count,
                iou_threshold=overlap,
                score_threshold=lowest,
                pad_to_max_output_size=True,
            )
        )

    indices, valid = tf.map_fn(
        one, (boxes, scores), fn_output_signature=(tf.TensorSpec([count], tf.int32), tf.TensorSpec([], tf.int32))
    )
    indices = tf.where(_real(valid, count), indices, 0)
    return _taken(boxes, tf.gather(scores, indices, batch_dims=1), indices, valid)


def softly_suppressed(
    boxes: tf.Tensor, scores: tf.Tensor, count: int, overlap: float, lowest: float, decay: Decay
) -> Suppressed:
    """Soft-NMS (arXiv:1704.04503): as `suppressed`, but a box that is taken multiplies the scores of the others, which
    must not be negative, by the `decay` of their overlaps with it. The scores returned are lowered so."""
    boxes, scores = (tf.cast(tf.stop_gradient(values), tf.float32) for values in (boxes, scores))

    def some(left: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any(left > LOWEST)

    def take(left: tf.Tensor, taken: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        best = tf.argmax(left, axis=1)[:, tf.newaxis]
        here = (tf.range(tf.shape(left, tf.int64)[1]) == best) & (left > LOWEST)
        near = overlaps(tf.gather(boxes, best, batch_dims=1), boxes)[:, 0]
        lowered = left * decay(near, overlap)
        # of -inf times 0 the comparison is false as well
        return tf.where(~here & (lowered > lowest), lowered, LOWEST), tf.where(here, left, taken)

    start = tf.where(scores > lowest, scores, LOWEST)
    _, taken = tf.while_loop(some, take, (start, tf.fill(tf.shape(start), LOWEST)), maximum_iterations=count)
    # no box is taken with a higher score than one before it
    values, indices = tf.math.top_k(tf.pad(taken, [[0, 0], [0, count]], constant_values=LOWEST), count)
    valid = tf.reduce_sum(tf.cast(values > LOWEST, tf.int32), axis=1)
    return _taken(boxes, values, tf.where(_real(valid, count), indices, 0), valid)


def suppression(limits: DetectionSpec) -> Suppress:
    """The kind of suppression that a detector's spec asks for."""
    if limits.suppression == "hard":
        return suppressed
    decays: Mapping[str, Decay] = {
        "linear": lambda near, overlap: tf.where(near > overlap, 1.0 - near, 1.0),
        "gaussian": lambda near, _: tf.exp(-tf.square(near) / limits.sigma),
    }
    return partial(softly_suppressed, decay=decays[limits.suppression])


def by_class(
    boxes: tf.Tensor, scores: tf.Tensor, count: int, overlap: float, lowest: float, suppress: Suppress = suppressed
) -> Suppressed:
    """`suppress` for each class separately, then the top `count` over all classes.

    From boxes (B, R, C, 4), one per class, and scores (B, R, C), without background: boxes float32 (B, count, 4),
    scores float32 (B, count), labels int32 (B, count), and how many are valid, int32 (B,). The rest is zero boxes of
    score 0 and label PADDING. Ties are in the order of the classes.
    """
    # tf.image.combined_non_max_suppression takes a third of the time, but treats scores below 0 as its own padding, and
    # neither XLA nor TFLite supports it
    rows, classes = boxes.shape[1:3]
    boxes = tf.reshape(tf.transpose(boxes, [0, 2, 1, 3]), [-1, rows, 4])
    scores = tf.reshape(tf.transpose(scores, [0, 2, 1]), [-1, rows])
    found, best, _, valid = suppress(boxes, scores, count, overlap, lowest)
    best = tf.where(_real(valid, count), best, LOWEST)
    best, places = tf.math.top_k(tf.reshape(best, [-1, classes * count]), count)
    found = tf.gather(tf.reshape(found, [-1, classes * count, 4]), places, batch_dims=1)
    valid = tf.minimum(tf.reduce_sum(tf.reshape(valid, [-1, classes]), axis=-1), count)
    real = _real(valid, count)
    return (
        tf.where(real[..., tf.newaxis], found, 0.0),
        tf.where(real, best, 0.0),
        tf.where(real, places // count, PADDING),
        valid,
    )


def across_classes(
    boxes: tf.Tensor, scores: tf.Tensor, count: int, overlap: float, lowest: float, suppress: Suppress = suppressed
) -> Suppressed:
    """As `by_class`, but the boxes of all classes suppress each other."""
    rows, classes = boxes.shape[1:3]
    boxes, scores = tf.reshape(boxes, [-1, rows * classes, 4]), tf.reshape(scores, [-1, rows * classes])
    found, best, indices, valid = suppress(boxes, scores, count, overlap, lowest)
    return found, best, tf.where(_real(valid, count), indices % classes, PADDING), valid


def _real(valid: tf.Tensor, count: int) -> tf.Tensor:
    """Which of `count` rows are not padding, bool (B, count)."""
    return tf.range(count) < valid[:, tf.newaxis]


def _taken(boxes: tf.Tensor, values: tf.Tensor, indices: tf.Tensor, valid: tf.Tensor) -> Suppressed:
    """The boxes at `indices` (B, count) with the scores `values`, zeros but for the `valid` ones."""
    real = _real(valid, values.shape[1])
    return (
        tf.where(real[..., tf.newaxis], tf.gather(boxes, indices, batch_dims=1), 0.0),
        tf.where(real, values, 0.0),
        indices,
        valid,
    )
