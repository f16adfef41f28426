"""The anchors of an image that a step trains on, with what they are to tell; and the loss of what boxes tell."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from reskeras.tasks.detection.boxes import encoded, overlaps, share_inside
from reskeras.tasks.detection.matching import NEITHER, POSITIVE, in_ignored, matched
from reskeras.tasks.detection.sampling import folded, sampled

ANCHORS_DRAWN = 1  # folded into an image's seed


class AnchorSample(NamedTuple):
    """A sample of anchors: int32 indices `chosen` (B, n), `weights` (B, n), 0 for padding; `positive` (B, n), 1 for
    those on an object; the row of their object, int32 `object` (B, n), and their `deltas` to it (B, n, 4)."""

    chosen: tf.Tensor
    weights: tf.Tensor
    positive: tf.Tensor
    object: tf.Tensor
    deltas: tf.Tensor

    def mean(self, losses: tf.Tensor, of_positives: bool = False) -> tf.Tensor:
        """The sum of `losses` (B, n) over the sample of each image, divided by its size or by the number `of_positives`
        in it: (B,)."""
        counted = self.weights * self.positive if of_positives else self.weights
        return tf.reduce_sum(losses * self.weights, axis=1) / tf.maximum(tf.reduce_sum(counted, axis=1), 1.0)


class AnchorSampling(NamedTuple):
    """How anchors are sampled: those with an IoU of `positive` or more are on an object, those below `negative` on
    background; `sample` of them, with at most so many `positives`; with more than `inside` of their area in the image.
    """

    positive: float
    negative: float
    sample: int
    positives: int
    inside: float

    def __call__(
        self, anchors: tf.Tensor, window: tf.Tensor, boxes: tf.Tensor, labels: tf.Tensor, seeds: tf.Tensor
    ) -> AnchorSample:
        """A sample of anchors (N, 4) on images in windows (B, 4), with objects' boxes (B, G, 4) and labels (B, G)."""
        inside = share_inside(anchors, window) > self.inside

        def shares(rows: slice) -> tf.Tensor:  # the best anchor of an object must be one that is trained
            return tf.where(inside[..., tf.newaxis], overlaps(anchors, boxes[:, rows]), 0.0)

        index, kind = matched(shares, anchors.shape[0], labels >= 0, self.positive, self.negative, best=True)
        kind = tf.where(inside & ~in_ignored(anchors, boxes, labels, kind), kind, NEITHER)
        chosen, weights = sampled(kind, self.sample, self.positives, folded(seeds, ANCHORS_DRAWN))
        index, kind = (tf.gather(values, chosen, batch_dims=1) for values in (index, kind))
        deltas = encoded(tf.gather(boxes, index, batch_dims=1), tf.gather(anchors, chosen))
        return AnchorSample(chosen, weights, tf.cast(kind == POSITIVE, tf.float32), index, deltas)


def smooth_l1(differences: tf.Tensor, beta: float) -> tf.Tensor:
    """x^2 / (2 beta) up to `beta`, beyond |x| - beta / 2, summed over the last axis (Fast R-CNN, equation 3)."""
    size = tf.abs(differences)
    return tf.reduce_sum(tf.where(size < beta, tf.square(size) / (2 * beta), size - beta / 2), axis=-1)
