"""Seen: a batch of images as one detector sees them, at one scale or several, and what it says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import tensorflow as tf

from reskeras.tasks.detection.boxes import areas
from reskeras.tasks.detection.canvas import Placed
from reskeras.tasks.detection.model import Maps, Networks
from reskeras.tasks.detection.select import region_boxes

if TYPE_CHECKING:
    from reskeras.tasks.detection.detector_inference import Detector


@dataclass(frozen=True)
class Seen:
    """A batch of images as one detector sees them: on its canvas, which its `networks` are wired for, with their maps
    (B, h, w, C), and on larger and smaller canvases, each with its own."""

    detector: Detector
    networks: Networks
    first: Placed
    features: Maps
    pyramid: list[tuple[Placed, Maps]]

    def proposals(self, count: int) -> tuple[tf.Tensor, ...]:
        """The `count` best proposals (B, count, 4) on the canvas, their probabilities (B, count), and the places of
        their maps (B, count)."""
        before = self.detector.spec.proposals.tested
        return self.networks.proposals(self.networks.anchors(self.features), self.first.window, count, before)

    def classified(self, regions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Boxes (B, R, C, 4) and probabilities (B, R, C) of regions (B, R, 4) of the canvas."""
        logits, deltas = self.judged(regions)
        boxes, scores = region_boxes(regions, logits, deltas, self.first.window, self.detector.spec)
        if self.detector.order is not None:
            boxes, scores = (tf.gather(each, self.detector.order, axis=2) for each in (boxes, scores))
        return boxes, scores

    def judged(self, regions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits (B, R, C + 1) and box deltas (B, R, 4 C) of regions (B, R, 4) of the canvas."""
        if self.pyramid:
            pooled = self._maxout(regions)
        else:
            pooled = self.networks.pooled(self.features, regions, self.first.window)
        return self.networks.told(pooled, regions)

    def _maxout(self, regions: tf.Tensor) -> tf.Tensor:
        """The element-wise maximum of each region's features at its two scales."""
        maps, logs = [], []
        for one, features in self.pyramid:
            ratio = tf.tile(one.scale / self.first.scale, [1, 2])[:, tf.newaxis]
            maps.append(self.networks.at(*one.pixels.shape[1:3]).maps_of(features, regions * ratio))
            side = tf.sqrt(tf.maximum(areas(regions * ratio), 1.0))
            logs.append(tf.abs(tf.math.log(side / self.detector.options.canonical)))
        off = tf.reshape(tf.stack(logs, axis=-1), [-1, len(maps)])
        # sides grow with the scale, so that the two nearest scales are adjacent
        chosen = tf.math.top_k(-off, 2).indices
        stacked = tf.stack(maps, axis=1)
        whole = self.networks.whole(self.features, self.first.window)
        pair = [
            self.networks.of_maps(tf.gather(stacked, chosen[:, place], batch_dims=1), whole, regions)
            for place in (0, 1)
        ]
        return tf.maximum(*pair)
