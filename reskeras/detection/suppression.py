"""Non-maximum suppression of the boxes of a batch: of several boxes of one thing, the one of the highest score."""

from __future__ import annotations

import tensorflow as tf

import reskeras.engine  # noqa: F401 - TensorFlow, quietly

LOWEST = float("-inf")


def suppressed(
    boxes: tf.Tensor, scores: tf.Tensor, count: int, overlap: float, lowest: float = LOWEST,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """The best boxes of each image by falling score, without those that overlap a better one by more than `overlap`.

    Of boxes (B, N, 4) and scores (B, N) at most `count` with a score above `lowest`: boxes float32 (B, count, 4),
    scores float32 (B, count), their indices in 0..N-1 int32 (B, count), and how many are valid, int32 (B,). Beyond
    these are zeros. A score of -inf or NaN is never valid: so boxes can be left out beforehand. No gradient flows.
    """
    boxes, scores = (tf.cast(tf.stop_gradient(values), tf.float32) for values in (boxes, scores))

    def one(image: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        # tf.image.non_max_suppression_padded takes no kernel but a loop of matrices, about four times as long on a CPU
        return tuple(tf.raw_ops.NonMaxSuppressionV4(
            boxes=image[0], scores=image[1], max_output_size=count, iou_threshold=overlap, score_threshold=lowest,
            pad_to_max_output_size=True))

    indices, valid = tf.map_fn(one, (boxes, scores), fn_output_signature=(
        tf.TensorSpec([count], tf.int32), tf.TensorSpec([], tf.int32)))
    real = tf.range(count) < valid[:, tf.newaxis]
    indices = tf.where(real, indices, 0)
    return (tf.where(real[..., tf.newaxis], tf.gather(boxes, indices, batch_dims=1), 0.0),
            tf.where(real, tf.gather(scores, indices, batch_dims=1), 0.0), indices, valid)


def by_class(
    boxes: tf.Tensor, scores: tf.Tensor, count: int, overlap: float, lowest: float = LOWEST,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """`suppressed` in each class apart, then the `count` of highest score over all classes.

    Of boxes (B, R, C, 4), one for each class, and scores (B, R, C): boxes float32 (B, count, 4), scores float32
    (B, count), labels int32 (B, count), and how many are valid, int32 (B,). Beyond these are zero boxes of score 0 and
    label -1. Scores are of objects only: without the column of the background.
    """
    boxes, scores = (tf.cast(tf.stop_gradient(values), tf.float32) for values in (boxes, scores))
    found, best, labels, valid = tf.image.combined_non_max_suppression(
        boxes, scores, count, count, overlap, lowest, pad_per_class=False, clip_boxes=False)
    real = tf.range(count) < valid[:, tf.newaxis]
    return (tf.where(real[..., tf.newaxis], found, 0.0), tf.where(real, best, 0.0),
            tf.where(real, tf.cast(labels, tf.int32), -1), valid)
