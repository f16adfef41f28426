"""Keras layers that compute a detector's losses, in float32 on boxes in pixels of the canvas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from reskeras.tasks.detection.anchor_sampling import AnchorSampling, smooth_l1
from reskeras.tasks.detection.layers import REGISTERED, AnchoredLayer, Float32Layer
from reskeras.tasks.detection.weighting import logistic_losses, weights_of

PROPOSAL_BETA = 1 / 9  # where smooth L1 of anchors becomes linear (the released code's sigma of 3)


@REGISTERED
class ProposalLosses(AnchoredLayer):
    """The RPN's two losses per image, (B,): cross-entropy and smooth L1 over `sample` anchors of all maps.

    Takes objectness (B, H, W, A) of each map, deltas (B, H, W, 4 A) of each, windows (B, 4), objects' boxes (B, G, 4),
    labels (B, G) and seeds (B, 2). Anchors with half of their area or more outside the image are not trained
    (arXiv:1506.01497, section 3.3 leaves out all that cross the boundary). Both losses are sums over the sample,
    divided by its size. With the fields of a `focal` loss that replaces the cross-entropy, divided by the number of
    positives (arXiv:1708.02002, section 4.1).
    """

    def __init__(
        self,
        *,
        name: str,
        positive: float,
        negative: float,
        sample: int,
        positives: int,
        focal: Mapping[str, Any] | None = None,
        **base: Any,
    ):
        how: dict[str, Any] = {
            "positive": positive,
            "negative": negative,
            "sample": sample,
            "positives": positives,
            "focal": focal,
        }
        super().__init__(name=name, **how, **base)
        self.sampling = AnchorSampling(positive, negative, sample, positives, self.inside)

    def call(self, inputs: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Both losses."""
        levels, objects = self.divided(inputs)
        anchors = tf.concat([level.anchors for level in levels], axis=0)
        every = [tf.concat(values, axis=1) for values in list(zip(*levels, strict=True))[1:]]
        sample = self.sampling(anchors, *objects)
        logits, moves = (tf.gather(values, sample.chosen, batch_dims=1) for values in every)
        entropy = sample.mean(logistic_losses(sample.positive, logits, self.focal), of_positives=bool(self.focal))
        return entropy, sample.mean(smooth_l1(moves - sample.deltas, PROPOSAL_BETA) * sample.positive)


@REGISTERED
class RegionLosses(Float32Layer):
    """The two losses of the regions per image, (B,): cross-entropy over classes and background, smooth L1 of boxes.

    Takes logits (B, R, C + 1), deltas (B, R, 4 C), and labels, deltas and weights from RegionTargets. Both losses are
    sums over the regions, divided by their number; only the deltas of the true class are trained. `beta` is that of
    `smooth_l1`. With `class_weights` the cross-entropy of a region is weighted by its class, background by 1.
    """

    def __init__(
        self, *, name: str, classes: int, beta: float = 1.0, class_weights: Sequence[float] | None = None, **base: Any
    ):
        super().__init__(name, classes=classes, beta=beta, class_weights=class_weights, **base)

    def call(self, inputs: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Both losses."""
        logits, deltas, labels, wanted, weights = inputs
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        if self.class_weights:
            entropy *= weights_of(labels, self.class_weights)
        deltas = tf.reshape(deltas, [-1, deltas.shape[1], self.classes, 4])
        is_object = tf.cast(labels < self.classes, tf.float32)
        own = tf.gather(deltas, tf.minimum(labels, self.classes - 1), batch_dims=2)
        count = tf.maximum(tf.reduce_sum(weights, axis=1), 1.0)
        return (
            tf.reduce_sum(entropy * weights, axis=1) / count,
            tf.reduce_sum(smooth_l1(own - wanted, self.beta) * is_object * weights, axis=1) / count,
        )
