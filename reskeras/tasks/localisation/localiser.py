"""Inference of a localiser: image files of any size to the best box of every class, on one crop or densely."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from reskeras.data.batches import ReadAhead
from reskeras.data.broken import named_failures
from reskeras.data.decode import decode
from reskeras.data.epoch_order import by_group
from reskeras.data.pipeline import ordered_batches
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.shard_rows import Rows
from reskeras.graph.weights import places, write
from reskeras.networks.geometry import GEOMETRIES
from reskeras.networks.localiser_plan import LocaliserPlan
from reskeras.networks.resize import Canvas
from reskeras.tasks.detection.anchors import anchor_fields, anchor_grid
from reskeras.tasks.detection.boxes import decoded, share_inside, window_clipped
from reskeras.tasks.detection.canvas import Canvases, Placed, normalised, on_canvas, placed
from reskeras.tasks.detection.layers import in_rows
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.localisation.model import Networks
from reskeras.tasks.localisation.views import LocaliserViews

Sides: TypeAlias = tuple[float, float] | None
BATCH = 16  # images at once
CENTRE, CORNER = 0.5, 0.0  # where an image is on its canvas


@dataclass(frozen=True)
class Located:
    """For images and classes, the probability float32 (n, C) of the most likely anchor, and its box (n, C, 4), top,
    left, bottom, right in pixels of the image as displayed."""

    scores: np.ndarray
    boxes: np.ndarray

    def or_better(self, other: Located) -> Located:
        """For each image and class the likelier one."""
        better = other.scores > self.scores
        boxes = np.where(better[..., np.newaxis], other.boxes, self.boxes)
        return Located(np.maximum(self.scores, other.scores), boxes)


class Localiser:
    """A localiser's networks with `weights` by canonical name, in float32. Without weights, `load` some first."""

    def __init__(
        self,
        plan: LocaliserPlan,
        weights: Mapping[str, np.ndarray] | None,
        preprocessing: Preprocessing,
        views: LocaliserViews = LocaliserViews(),
    ):
        self.plan, self.preprocessing, self.views = plan, preprocessing, views
        crop = Canvases((plan.canvas,), plan.sides)
        # whole images, whose longer side is at most twice the shorter one; those of longer ones are scaled down further
        dense = [Canvases.by_shorter_side((pixels, 2 * pixels)) for pixels in views.dense]
        self.canvases, self.where = (dense, CORNER) if dense else ([crop], CENTRE)
        self.networks = Networks(plan, any_size=bool(dense))
        if weights is not None:
            self.load(weights)

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Take these weights."""
        for part in self.networks.parts.values():
            write(part, {name: weights[name] for name in places(part)})

    def look(self, split: Objects, progress: Callable[[int, int], None] = lambda done, of: None) -> Located:
        """The best box of every class in every image of `split`. `progress` gets the looks done, of how many."""
        best, done = None, 0
        for canvases in self.canvases:
            rows: dict[int, tuple[np.ndarray, np.ndarray]] = {}
            for canvas, images in by_group(canvases.chosen(split.sizes).numpy()).items():
                looked = self._looked(split.part(split.name, images), canvases, canvas)
                for image, row in zip(images, looked, strict=True):
                    rows[image], done = row, done + 1
                    progress(done, split.count * len(self.canvases))
            scores, boxes = zip(*(rows[image] for image in range(split.count)), strict=True)
            found = Located(np.stack(scores), np.stack(boxes))
            best = best.or_better(found) if best else found
        assert best is not None  # there is at least one view
        return best

    def _looked(self, split: Objects, canvases: Canvases, canvas: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Scores (C,) and boxes (C, 4) of each image of `split`, all of which take the same canvas."""

        def load(indices: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return tf.map_fn(split.read, indices, fn_output_signature=tf.TensorSpec([], tf.string)), weights

        images = Rows.shard(min(BATCH, split.count), 0, 1)
        files = ordered_batches(load, split.count, images, ReadAhead.of(images.count, self.plan.input_shape))
        find = self._finder(canvases.shapes[canvas], canvases.sides)
        batches = ((find(batch), weights) for batch, weights in files)
        for (scores, boxes), weights in named_failures(batches, split.images(), range(split.count), images.count):
            count = int(weights.numpy().sum())
            yield from zip(scores.numpy()[:count], boxes.numpy()[:count], strict=True)

    @cached_property
    def _finder(self) -> Callable[[Canvas, Sides], Callable[[tf.Tensor], Any]]:
        """What finds the best boxes in a batch of files of images that take a canvas, by the sides of a scaled image;
        traced once for each."""
        return cache(
            lambda canvas, sides: tf.function(
                lambda files: self.on(self.place(files, canvas, sides)), autograph=False, reduce_retracing=True
            )
        )

    def place(self, files: tf.Tensor, canvas: Canvas, sides: Sides) -> Placed:
        """Encoded image files, strings (B,), on a canvas, by the sides of a scaled image."""
        channels, spec = self.plan.input_shape[-1], tf.TensorSpec
        parts = tf.map_fn(
            lambda data: placed(decode(data, channels), *canvas, where=self.where, sides=sides).parts,
            files,
            fn_output_signature=(spec([*canvas, channels]), spec([4]), spec([2]), spec([2])),
        )
        return Placed(*parts)

    def on(self, images: Placed) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores (B, C) and boxes (B, C, 4), in pixels of the images, of images on canvases of one size."""
        height, width = images.pixels.shape[1:3]
        pixels = normalised(images.pixels, images.window, on_canvas(self.preprocessing, height, width))
        logits, deltas = self.networks(pixels)
        scores, boxes = self._best(logits, deltas, images.window, (height, width))
        return scores, images.in_image(boxes)

    def _best(
        self, logits: tf.Tensor, deltas: tf.Tensor, window: tf.Tensor, canvas: Canvas
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores (B, C) and boxes (B, C, 4), in pixels of the canvas, of the likeliest anchor of each class among those
        with as much of their area in the windows (B, 4) as training uses."""
        spec, [level] = self.plan.spec, self.plan.at(*canvas).levels()
        anchors = tf.constant(anchor_grid(logits.shape[1], logits.shape[2], **anchor_fields(self.plan, level)))
        inside = share_inside(anchors, window) > GEOMETRIES[spec.geometry].inside
        classes = spec.classes or 0
        rows = tf.where(inside[..., tf.newaxis], in_rows(logits, classes), -np.inf)
        places = tf.argmax(rows, axis=1, output_type=tf.int32)  # (B, C)
        own = tf.range(classes) if spec.per_class else 0
        moves = tf.gather(in_rows(deltas, 4), places * spec.boxes + own, batch_dims=1)
        boxes = window_clipped(decoded(moves, tf.gather(anchors, places)), window)
        return tf.sigmoid(tf.reduce_max(rows, axis=1)), boxes
