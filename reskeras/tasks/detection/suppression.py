"""Non-maximum suppression (NMS) of a batch of boxes, over all boxes or by class."""

from __future__ import annotations

import tensorflow as tf

from reskeras.tasks.detection.objects import PADDING

LOWEST = float("-inf")


def suppressed(
    boxes: tf.Tensor, scores: tf.Tensor, count: int, overlap: float, lowest: float = LOWEST
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
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
    real = tf.range(count) < valid[:, tf.newaxis]
    indices = tf.where(real, indices, 0)
    return (
        tf.where(real[..., tf.newaxis], tf.gather(boxes, indices, batch_dims=1), 0.0),
        tf.where(real, tf.gather(scores, indices, batch_dims=1), 0.0),
        indices,
        valid,
    )


def by_class(
    boxes: tf.Tensor, scores: tf.Tensor, count: int, overlap: float, lowest: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """`suppressed` for each class separately, then the top `count` over all classes.

    From boxes (B, R, C, 4), one per class, and scores (B, R, C), without background: boxes float32 (B, count, 4),
    scores float32 (B, count), labels int32 (B, count), and how many are valid, int32 (B,). The rest is zero boxes of
    score 0 and label PADDING. Ties are in the order of the classes.
    """
    # tf.image.combined_non_max_suppression takes a third of the time, but treats scores below 0 as its own padding, and
    # neither XLA nor TFLite supports it
    rows, classes = boxes.shape[1:3]
    boxes = tf.reshape(tf.transpose(boxes, [0, 2, 1, 3]), [-1, rows, 4])
    scores = tf.reshape(tf.transpose(scores, [0, 2, 1]), [-1, rows])
    found, best, _, valid = suppressed(boxes, scores, count, overlap, lowest)
    best = tf.where(tf.range(count) < valid[:, tf.newaxis], best, LOWEST)
    best, places = tf.math.top_k(tf.reshape(best, [-1, classes * count]), count)
    found = tf.gather(tf.reshape(found, [-1, classes * count, 4]), places, batch_dims=1)
    valid = tf.minimum(tf.reduce_sum(tf.reshape(valid, [-1, classes]), axis=-1), count)
    real = tf.range(count) < valid[:, tf.newaxis]
    return (
        tf.where(real[..., tf.newaxis], found, 0.0),
        tf.where(real, best, 0.0),
        tf.where(real, places // count, PADDING),
        valid,
    )
