"""Postprocessing: from the outputs for regions to the detections of an image, with NMS and box voting."""

from __future__ import annotations

import tensorflow as tf

from reskeras.networks.detector import DetectorSpec
from reskeras.tasks.detection.boxes import decoded, overlaps, vanished, window_clipped
from reskeras.tasks.detection.suppression import across_classes, by_class, suppression

Found = dict[str, tf.Tensor]


def region_boxes(
    regions: tf.Tensor, logits: tf.Tensor, deltas: tf.Tensor, window: tf.Tensor, spec: DetectorSpec
) -> tuple[tf.Tensor, tf.Tensor]:
    """Boxes (B, R, C, 4), one per class, clipped to the windows (B, 4), and their probabilities (B, R, C).

    From regions (B, R, 4), logits (B, R, C + 1) and deltas (B, R, 4 C). Empty regions, which pad an image's proposals,
    have probability 0, and boxes that are moved out of the image or shrunk to nothing.
    """
    count, classes = regions.shape[1], spec.classes
    moves = tf.reshape(deltas, [-1, count, classes, 4]) * tf.constant(spec.regions.deviations)
    boxes = decoded(moves, regions[:, :, tf.newaxis])
    boxes = tf.reshape(window_clipped(tf.reshape(boxes, [-1, count * classes, 4]), window), [-1, count, classes, 4])
    real = tf.reduce_all(regions[..., 2:] > regions[..., :2], axis=-1, keepdims=True)
    return boxes, tf.where(real & ~vanished(boxes), tf.nn.softmax(logits)[..., :-1], 0.0)


def selected(
    boxes: tf.Tensor, scores: tf.Tensor, spec: DetectorSpec, overlap: float | None = None, votes: float | None = None
) -> Found:
    """The detections of each image: boxes float32 (B, most, 4), scores (B, most), labels int32 (B, most), count int32
    (B,); rows beyond count are zeros of label -1.

    From boxes (B, R, C, 4) and probabilities (B, R, C): NMS of the spec's kind at `overlap` (default: the spec's), then
    the best `most` above the spec's score. With `votes` each box becomes the mean, weighted by probability, of all
    boxes of its class that overlap it by at least that much (box voting, v1 appendix B).
    """
    limits = spec.detections
    choose = across_classes if limits.class_agnostic else by_class
    best, score, labels, count = choose(
        boxes, scores, limits.most, overlap or limits.overlap, limits.score, suppression(limits)
    )
    if votes is not None:
        best = voted(best, labels, boxes, tf.where(scores >= limits.score, scores, 0.0), votes)
    return {"boxes": best, "scores": score, "labels": labels, "count": count}


def voted(best: tf.Tensor, labels: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor, overlap: float) -> tf.Tensor:
    """Box voting: `best` (B, K, 4) of `labels` (B, K) replaced by the means, weighted by `scores` (B, R, C), of the
    `boxes` (B, R, C, 4) of their class that overlap them by `overlap` or more."""

    def one(image: tuple[tf.Tensor, ...]) -> tf.Tensor:
        kept, label, every, weight = image
        own = tf.gather(tf.transpose(every, [1, 0, 2]), tf.maximum(label, 0))  # (K, R, 4)
        weights = tf.gather(tf.transpose(weight), tf.maximum(label, 0))
        near = overlaps(kept[:, tf.newaxis], own)[:, 0] >= overlap
        weights = tf.where(near, weights, 0.0)[..., tf.newaxis]
        total = tf.reduce_sum(weights, axis=1)
        mean = tf.math.divide_no_nan(tf.reduce_sum(weights * own, axis=1), total)
        return tf.where(total > 0, mean, kept)

    return tf.map_fn(one, (best, labels, boxes, scores), fn_output_signature=tf.TensorSpec(best.shape[1:]))
