"""Keras layers between a detector's networks: proposals, region targets, RoI pooling, losses.

All compute in float32 on boxes in pixels of the canvas. Importing this file registers them, so that models load.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import reskeras.engine  # noqa: F401 - TensorFlow and Keras, quietly
from reskeras.tasks.detection.align import roi_align
from reskeras.tasks.detection.anchors import anchor_grid
from reskeras.tasks.detection.boxes import decoded, encoded, overlaps, share_inside, window_clipped
from reskeras.tasks.detection.matching import NEITHER, POSITIVE, in_ignored, matched
from reskeras.tasks.detection.pooling import roi_pool
from reskeras.tasks.detection.sampling import folded, sampled
from reskeras.tasks.detection.suppression import suppressed

REGISTERED = keras.saving.register_keras_serializable(package="reskeras")
INSIDE = 0.5  # share of an anchor inside the image, above which it is trained and proposes
SMALLEST = 1.0  # pixels of the canvas; thinner proposals are dropped
PROPOSAL_BETA = 1 / 9  # where smooth L1 of anchors becomes linear (the released code's sigma of 3)
# folded into an image's seed
ANCHORS_DRAWN, REGIONS_DRAWN = 1, 2


class _Float32Layer(keras.layers.Layer):
    """Base: computes in float32 whatever the precision of the networks; its config is its arguments."""

    def __init__(self, name: str, **arguments: Any):
        base = {key: arguments.pop(key) for key in ("trainable", "dtype") if key in arguments}
        super().__init__(name=name, trainable=base.get("trainable", True), dtype="float32", autocast=False)
        self.arguments = arguments
        self.__dict__.update(arguments)

    def get_config(self) -> dict[str, Any]:
        """The arguments that the layer is recreated from."""
        return {"name": self.name, "trainable": self.trainable, **self.arguments}


def _anchors(layer: Proposals | ProposalLosses, objectness: tf.Tensor) -> tf.Tensor:
    """The anchors of a layer's fields for a map (B, H, W, A)."""
    height, width = objectness.shape[1:3]
    return tf.constant(
        anchor_grid(height, width, layer.stride, layer.sizes, layer.ratios, layer.offsets, layer.rounded)
    )


def in_rows(values: tf.Tensor, width: int) -> tf.Tensor:
    """A map (B, H, W, A * width) as float32 (B, H * W * A, width), in the order of `anchor_grid`."""
    count = values.shape[1] * values.shape[2] * values.shape[3] // width
    return tf.cast(tf.reshape(values, [-1, count, width]), tf.float32)


@REGISTERED
class Proposals(_Float32Layer):
    """Proposals of the RPN: the top `before` anchors of an image, decoded, clipped, NMS at `overlap`, the top `count`.

    Takes objectness (B, H, W, A), deltas (B, H, W, 4 A) and windows (B, 4); returns boxes float32 (B, count, 4), best
    first, and their probabilities (B, count), padded with zero boxes of probability 0. Anchors with half of their area
    or more outside the image are left out: `ProposalLosses` does not train them.
    """

    def __init__(
        self,
        *,
        name: str,
        sizes: Sequence[float],
        ratios: Sequence[float],
        stride: float,
        offsets: Sequence[float] | None = None,
        rounded: bool = False,
        before: int,
        count: int,
        overlap: float,
        **base: Any,
    ):
        super().__init__(
            name,
            sizes=list(sizes),
            ratios=list(ratios),
            stride=stride,
            offsets=offsets and list(offsets),
            rounded=rounded,
            before=before,
            count=count,
            overlap=overlap,
            **base,
        )

    def call(self, inputs: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Select the proposals."""
        objectness, deltas, window = inputs
        anchors = _anchors(self, objectness)
        # anchors outside the image are untrained; on a canvas that it half fills they could dominate the top
        logits = tf.where(share_inside(anchors, window) > INSIDE, in_rows(objectness, 1)[..., 0], -np.inf)
        best, places = tf.math.top_k(tf.stop_gradient(logits), min(self.before, anchors.shape[0]))
        moves = tf.gather(tf.stop_gradient(in_rows(deltas, 4)), places, batch_dims=1)
        boxes = window_clipped(decoded(moves, tf.gather(anchors, places)), window)
        real = tf.reduce_all(boxes[..., 2:] - boxes[..., :2] >= SMALLEST, axis=-1)
        boxes, scores, _, valid = suppressed(boxes, tf.where(real, best, -np.inf), self.count, self.overlap)
        real = tf.range(self.count) < valid[:, tf.newaxis]
        return boxes, tf.where(real, tf.sigmoid(scores), 0.0)


@REGISTERED
class RegionTargets(_Float32Layer):
    """Samples the regions that a step trains on, `count` per image, from proposals and objects, with their targets.

    Takes proposals (B, R, 4), objects' boxes (B, G, 4), labels int32 (B, G), seeds int32 (B, 2). Returns regions
    (B, count, 4), labels int32 (B, count), where the label `classes` is background, deltas (B, count, 4) divided by
    `deviations`, and weights (B, count), 0 for padding. At most `positives` regions are objects. A region inside an
    ignored object is not background.
    """

    def __init__(
        self,
        *,
        name: str,
        classes: int,
        count: int,
        positives: int,
        positive: float,
        deviations: Sequence[float],
        **base: Any,
    ):
        super().__init__(
            name,
            classes=classes,
            count=count,
            positives=positives,
            positive=positive,
            deviations=list(deviations),
            **base,
        )

    def call(self, inputs: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Sample regions and compute their targets."""
        proposals, boxes, labels, seeds = inputs
        real = labels >= 0
        # objects are added to the proposals, as in the paper's code: at first no proposal is near one
        regions = tf.stop_gradient(tf.concat([proposals, tf.where(real[..., tf.newaxis], boxes, 0.0)], axis=1))
        filled = tf.reduce_all(regions[..., 2:] > regions[..., :2], axis=-1)
        index, kind = matched(overlaps(regions, boxes), real, self.positive, self.positive, best=False)
        kind = tf.where(filled & ~in_ignored(regions, boxes, labels, kind), kind, NEITHER)
        chosen, weights = sampled(kind, self.count, self.positives, folded(seeds, REGIONS_DRAWN))
        regions, index, kind = (tf.gather(values, chosen, batch_dims=1) for values in (regions, index, kind))
        # padding rows are arbitrary; make them background of weight 0
        positive = (kind == POSITIVE) & (weights > 0)
        targets = tf.gather(boxes, index, batch_dims=1)
        deltas = encoded(targets, regions) / tf.constant(self.deviations)
        return (
            regions,
            tf.where(positive, tf.gather(labels, index, batch_dims=1), self.classes),
            tf.where(positive[..., tf.newaxis], deltas, 0.0),
            weights,
        )


@REGISTERED
class RegionMaps(_Float32Layer):
    """RoI pooling of the shared map: features (B, H, W, C), boxes (B, R, 4) to (B * R, size, size, C).

    `pool` is align (RoIAlign with `points` x `points` samples per bin) or max (RoI max pooling). The cells look at
    `offsets` + i * `stride` pixels, by default half a stride. A region of less than `least` cells has as many. Computed
    in the features' precision.
    """

    def __init__(
        self,
        *,
        name: str,
        pool: str,
        size: int,
        points: int,
        stride: float,
        offsets: Sequence[float] | None = None,
        least: float = 0.0,
        **base: Any,
    ):
        offsets = offsets and list(offsets)
        super().__init__(name, pool=pool, size=size, points=points, stride=stride, offsets=offsets, least=least, **base)

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Pool each region."""
        features, boxes = inputs
        offsets = tf.constant(2 * self.offsets if self.offsets else [self.stride / 2] * 4)
        cells = (boxes - offsets) / self.stride + 0.5
        if self.least:
            sides = tf.maximum(cells[..., 2:] - cells[..., :2], self.least)
            cells = tf.concat([cells[..., :2], cells[..., :2] + sides], axis=-1)
        maps = (
            roi_align(features, cells, self.size, self.points)
            if self.pool == "align"
            else roi_pool(features, cells, self.size)
        )
        return tf.reshape(maps, [-1, self.size, self.size, features.shape[-1]])


@REGISTERED
class WithContext(_Float32Layer):
    """Global context (v1 appendix B): features (B * R + B, F) of regions (B, R, 4), then of whole images, to
    (B * R, 2 F), each region's concatenated with its image's."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Concatenate."""
        features, boxes = inputs
        regions = tf.shape(features)[0] - tf.shape(boxes)[0]
        whole = tf.repeat(features[regions:], boxes.shape[1], axis=0)
        return tf.ensure_shape(tf.concat([features[:regions], whole], axis=-1), [None, 2 * features.shape[-1]])


@REGISTERED
class ByImage(_Float32Layer):
    """Outputs (B * R, n) of regions (B, R, 4), reshaped to float32 (B, R, n)."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Reshape."""
        values, boxes = inputs
        return tf.reshape(tf.cast(values, tf.float32), [-1, boxes.shape[1], values.shape[-1]])


@REGISTERED
class ProposalLosses(_Float32Layer):
    """The RPN's two losses per image, (B,): cross-entropy and smooth L1 over `sample` anchors.

    Takes objectness (B, H, W, A), deltas (B, H, W, 4 A), windows (B, 4), objects' boxes (B, G, 4), labels (B, G) and
    seeds (B, 2). Anchors with half of their area or more outside the image are not trained (arXiv:1506.01497, section
    3.3 leaves out all that cross the boundary). Both losses are sums over the sample, divided by its size.
    """

    def __init__(
        self,
        *,
        name: str,
        sizes: Sequence[float],
        ratios: Sequence[float],
        stride: float,
        offsets: Sequence[float] | None = None,
        rounded: bool = False,
        positive: float,
        negative: float,
        sample: int,
        positives: int,
        **base: Any,
    ):
        super().__init__(
            name,
            sizes=list(sizes),
            ratios=list(ratios),
            stride=stride,
            offsets=offsets and list(offsets),
            rounded=rounded,
            positive=positive,
            negative=negative,
            sample=sample,
            positives=positives,
            **base,
        )

    def call(self, inputs: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Both losses."""
        objectness, deltas, window, boxes, labels, seeds = inputs
        anchors = _anchors(self, objectness)
        inside = share_inside(anchors, window) > INSIDE
        # the best anchor of an object must be one that is trained
        shares = tf.where(inside[..., tf.newaxis], overlaps(anchors, boxes), 0.0)
        index, kind = matched(shares, labels >= 0, self.positive, self.negative, best=True)
        kind = tf.where(inside & ~in_ignored(anchors, boxes, labels, kind), kind, NEITHER)
        chosen, weights = sampled(kind, self.sample, self.positives, folded(seeds, ANCHORS_DRAWN))
        logits, moves = (
            tf.gather(in_rows(values, width), chosen, batch_dims=1) for values, width in ((objectness, 1), (deltas, 4))
        )
        index, kind = (tf.gather(values, chosen, batch_dims=1) for values in (index, kind))
        is_object = tf.cast(kind == POSITIVE, tf.float32)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(is_object, logits[..., 0])
        wanted = encoded(tf.gather(boxes, index, batch_dims=1), tf.gather(anchors, chosen))
        count = tf.maximum(tf.reduce_sum(weights, axis=1), 1.0)
        return (
            tf.reduce_sum(entropy * weights, axis=1) / count,
            tf.reduce_sum(smooth_l1(moves - wanted, PROPOSAL_BETA) * is_object * weights, axis=1) / count,
        )


@REGISTERED
class RegionLosses(_Float32Layer):
    """The two losses of the regions per image, (B,): cross-entropy over classes and background, smooth L1 of boxes.

    Takes logits (B, R, C + 1), deltas (B, R, 4 C), and labels, deltas and weights from RegionTargets. Both losses are
    sums over the regions, divided by their number; only the deltas of the true class are trained. `beta` is that of
    `smooth_l1`.
    """

    def __init__(self, *, name: str, classes: int, beta: float = 1.0, **base: Any):
        super().__init__(name, classes=classes, beta=beta, **base)

    def call(self, inputs: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Both losses."""
        logits, deltas, labels, wanted, weights = inputs
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        deltas = tf.reshape(deltas, [-1, deltas.shape[1], self.classes, 4])
        is_object = tf.cast(labels < self.classes, tf.float32)
        own = tf.gather(deltas, tf.minimum(labels, self.classes - 1), batch_dims=2)
        count = tf.maximum(tf.reduce_sum(weights, axis=1), 1.0)
        return (
            tf.reduce_sum(entropy * weights, axis=1) / count,
            tf.reduce_sum(smooth_l1(own - wanted, self.beta) * is_object * weights, axis=1) / count,
        )


def smooth_l1(differences: tf.Tensor, beta: float) -> tf.Tensor:
    """x^2 / (2 beta) up to `beta`, beyond |x| - beta / 2, summed over the last axis (Fast R-CNN, equation 3)."""
    size = tf.abs(differences)
    return tf.reduce_sum(tf.where(size < beta, tf.square(size) / (2 * beta), size - beta / 2), axis=-1)
