"""Keras layers between a detector's networks: proposals, region targets, RoI pooling.

All compute in float32 on boxes in pixels of the canvas. Importing this file registers them, so that models load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import keras
import numpy as np
import tensorflow as tf

import reskeras.engine  # noqa: F401 - TensorFlow and Keras, quietly
from reskeras.networks.geometry import GEOMETRIES
from reskeras.tasks.detection.align import roi_align, side
from reskeras.tasks.detection.anchors import anchor_grid
from reskeras.tasks.detection.boxes import decoded, encoded, overlaps, share_inside, window_clipped
from reskeras.tasks.detection.grid import Grid
from reskeras.tasks.detection.matching import NEITHER, POSITIVE, in_ignored, matched
from reskeras.tasks.detection.pooling import roi_pool
from reskeras.tasks.detection.pyramid_align import pyramid_align
from reskeras.tasks.detection.sampling import folded, sampled
from reskeras.tasks.detection.suppression import suppressed

REGISTERED = keras.saving.register_keras_serializable(package="reskeras")
INSIDE, SMALLEST = GEOMETRIES["cell"].inside, GEOMETRIES["cell"].smallest  # of layers saved without them
REGIONS_DRAWN = 2  # folded into an image's seed


class Float32Layer(keras.layers.Layer):
    """Base: computes in float32 whatever the precision of the networks; its config is its arguments."""

    def __init__(self, name: str, **arguments: Any):
        base = {key: arguments.pop(key) for key in ("trainable", "dtype") if key in arguments}
        super().__init__(name=name, trainable=base.get("trainable", True), dtype="float32", autocast=False)
        self.arguments = arguments
        self.__dict__.update(arguments)

    def get_config(self) -> dict[str, Any]:
        """The arguments that the layer is recreated from."""
        return {"name": self.name, "trainable": self.trainable, **self.arguments}


def in_rows(values: tf.Tensor, width: int) -> tf.Tensor:
    """A map (B, H, W, A * width) as float32 (B, H * W * A, width), in the order of `anchor_grid`."""
    count = values.shape[1] * values.shape[2] * values.shape[3] // width
    return tf.cast(tf.reshape(values, [-1, count, width]), tf.float32)


class AnchoredLayer(Float32Layer):
    """Base of layers on the anchors of one map or several: `levels` has for each map what `anchor_grid` needs besides
    its size. Anchors with a share of `inside` or less of their area in the image are left out."""

    def __init__(self, *, name: str, levels: Sequence[Mapping[str, Any]], inside: float = INSIDE, **arguments: Any):
        super().__init__(name, levels=[dict(level) for level in levels], inside=inside, **arguments)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Recreate it, also from what versions wrote that knew one map."""
        if "levels" not in config:
            level = {field: config.pop(field) for field in ("sizes", "ratios", "stride")}
            config = {**config, "levels": [level]}
        return cls(**config)

    def divided(self, inputs: list[tf.Tensor]) -> tuple[list[_OfLevel], list[tf.Tensor]]:
        """Objectness and deltas of each map with its anchors, and the other inputs."""
        count = len(self.levels)
        maps = zip(self.levels, inputs[:count], inputs[count : 2 * count], strict=True)
        return [
            _OfLevel(anchor_grid(*_size(objectness), **level), in_rows(objectness, 1)[..., 0], in_rows(deltas, 4))
            for level, objectness, deltas in maps
        ], inputs[2 * count :]


class _OfLevel(NamedTuple):
    """A map's anchors float32 (N, 4), their objectness (B, N) and deltas (B, N, 4)."""

    anchors: tf.Tensor
    objectness: tf.Tensor
    deltas: tf.Tensor


def _size(values: tf.Tensor) -> tuple[int, int]:
    return values.shape[1], values.shape[2]


@REGISTERED
class Proposals(AnchoredLayer):
    """Proposals of the RPN: on each map the top `before` anchors of an image, decoded, clipped, NMS at `overlap`; of
    all maps the top `count`.

    Takes objectness (B, H, W, A) of each map, deltas (B, H, W, 4 A) of each, and windows (B, 4); returns boxes float32
    (B, count, 4), best first, their probabilities (B, count), and the places int32 (B, count) of the maps that they are
    of; padded with zero boxes of probability 0. Anchors that `ProposalLosses` does not train are left out, and boxes
    with a side below `smallest` pixels.
    """

    def __init__(self, *, name: str, before: int, count: int, overlap: float, smallest: float = SMALLEST, **base: Any):
        super().__init__(name=name, before=before, count=count, overlap=overlap, smallest=smallest, **base)

    def call(self, inputs: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Select the proposals."""
        levels, (window,) = self.divided(inputs)
        found = [self._of_level(level, window) for level in levels]
        boxes, scores = (tf.concat(values, axis=1) for values in zip(*found, strict=True))
        maps = tf.zeros_like(scores, tf.int32)
        if len(levels) > 1:
            scores, places = tf.math.top_k(scores, self.count)
            boxes, maps = tf.gather(boxes, places, batch_dims=1), places // self.count
        real = scores > -np.inf
        return tf.where(real[..., tf.newaxis], boxes, 0.0), tf.where(real, tf.sigmoid(scores), 0.0), maps

    def _of_level(self, level: _OfLevel, window: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Boxes (B, count, 4) of a map by descending score (B, count), -inf for padding."""
        # anchors outside the image are untrained; on a canvas that it half fills they could dominate the top
        trained = share_inside(level.anchors, window) > self.inside
        logits = tf.stop_gradient(tf.where(trained, level.objectness, -np.inf))
        best, places = tf.math.top_k(logits, min(self.before, level.anchors.shape[0]))
        moves = tf.gather(tf.stop_gradient(level.deltas), places, batch_dims=1)
        boxes = window_clipped(decoded(moves, tf.gather(level.anchors, places)), window)
        real = tf.reduce_all(boxes[..., 2:] - boxes[..., :2] >= self.smallest, axis=-1)
        boxes, scores, _, valid = suppressed(boxes, tf.where(real, best, -np.inf), self.count, self.overlap)
        return boxes, tf.where(tf.range(self.count) < valid[:, tf.newaxis], scores, -np.inf)


@REGISTERED
class RegionTargets(Float32Layer):
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
        index, kind = matched(
            lambda rows: overlaps(regions, boxes[:, rows]), regions.shape[1], real, self.positive, self.positive, False
        )
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
class RegionMaps(Float32Layer):
    """RoI pooling: maps (B, H, W, C), then boxes (B, R, 4), to (B * R, size, size, C), in the precision of the maps.

    `pool` is align (RoIAlign with `points` x `points` samples per bin) or max (RoI max pooling). `levels` has for each
    map its `stride` and the `offsets` in pixels that cell 0 looks at. Of several maps a region is pooled from one, see
    `pyramid_align`, which `canonical` is for. A region of less than `least` cells has as many.
    """

    def __init__(
        self,
        *,
        name: str,
        pool: str,
        size: int,
        points: int,
        levels: Sequence[Mapping[str, Any]],
        canonical: float = 0.0,
        least: float = 0.0,
        **base: Any,
    ):
        levels = [dict(level) for level in levels]
        super().__init__(
            name, pool=pool, size=size, points=points, levels=levels, canonical=canonical, least=least, **base
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Recreate it, also from what versions wrote that knew one map."""
        if "levels" not in config:
            stride = config.pop("stride")
            config = {**config, "levels": [{"stride": stride, "offsets": [stride / 2] * 2}]}
        return cls(**config)

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Pool each region."""
        *maps, boxes = inputs
        grids = [Grid(level["stride"], *level["offsets"]) for level in self.levels]
        if len(maps) > 1:
            found = pyramid_align(maps, boxes, grids, self.size, self.points, self.canonical, self.least)
        elif self.pool == "align":
            found = roi_align(maps[0], grids[0].cells(boxes, self.least), self.size, self.points)
        else:
            found = roi_pool(maps[0], grids[0].cells(boxes), self.size)
        return tf.reshape(found, [-1, self.size, self.size, maps[0].shape[-1]])


@REGISTERED
class TopDown(keras.layers.Layer):
    """A finer map (B, H, W, C) plus a coarser one, of half the size, rounded up, enlarged to nearest neighbours."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Enlarge and add. A broadcast, whose gradient is a sum and deterministic on every device."""
        finer, coarser = inputs
        shape = tf.shape(coarser)
        doubled = tf.broadcast_to(
            coarser[:, :, tf.newaxis, :, tf.newaxis], [shape[0], shape[1], 2, shape[2], 2, coarser.shape[-1]]
        )
        enlarged = tf.reshape(doubled, [shape[0], 2 * shape[1], 2 * shape[2], coarser.shape[-1]])
        return finer + enlarged[:, : side(finer, 1), : side(finer, 2)]


@REGISTERED
class WithContext(Float32Layer):
    """Global context (v1 appendix B): features (B * R + B, F) of regions (B, R, 4), then of whole images, to
    (B * R, 2 F), each region's concatenated with its image's."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Concatenate."""
        features, boxes = inputs
        regions = tf.shape(features)[0] - tf.shape(boxes)[0]
        whole = tf.repeat(features[regions:], boxes.shape[1], axis=0)
        return tf.ensure_shape(tf.concat([features[:regions], whole], axis=-1), [None, 2 * features.shape[-1]])


@REGISTERED
class ByImage(Float32Layer):
    """Outputs (B * R, n) of regions (B, R, 4), reshaped to float32 (B, R, n)."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Reshape."""
        values, boxes = inputs
        return tf.reshape(tf.cast(values, tf.float32), [-1, boxes.shape[1], values.shape[-1]])
