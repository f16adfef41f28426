"""Inference of a localiser: image files of any size to the best box of every class, on one crop or densely."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import prod
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from reskeras.data.batches import ReadAhead
from reskeras.data.broken import named_failures
from reskeras.data.decode import decode
from reskeras.data.epoch_order import by_group
from reskeras.data.pipeline import ordered_batches
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.shard_rows import Rows
from reskeras.errors import ReskerasError
from reskeras.graph.weights import places, write
from reskeras.networks.geometry import GEOMETRIES
from reskeras.networks.localiser_plan import LocaliserPlan
from reskeras.networks.resize import Canvas
from reskeras.tasks.detection.anchors import anchor_fields, anchor_grid
from reskeras.tasks.detection.boxes import decoded, share_inside, vanished, window_clipped
from reskeras.tasks.detection.canvas import Canvases, Placed, normalised, on_canvas, placed
from reskeras.tasks.detection.layers import in_rows
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.localisation.model import Networks
from reskeras.tasks.localisation.views import LocaliserViews

Sides: TypeAlias = tuple[float, float] | None
# files, strings (B,), and classes int32 (B, k), to scores (B, k, count) and boxes (B, k, count, 4)
Find: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
Told: TypeAlias = tuple[tf.Tensor, tf.Tensor]  # logits and deltas, as the networks tell them
BATCH = 16  # images at once, or fewer of large canvases
PIXELS = 1 << 22  # of the canvases of a batch, but for one image alone
CENTRE, CORNER = 0.5, 0.0  # where an image is on its canvas


@dataclass(frozen=True)
class Located:
    """For images and classes the likeliest boxes, best first: probabilities float32 (n, C, count) of their anchors, and
    boxes (n, C, count, 4), top, left, bottom, right in pixels of the image as displayed."""

    scores: np.ndarray
    boxes: np.ndarray

    def merged(self, other: Located) -> Located:
        """The likeliest boxes of both, as many as either has."""
        scores, boxes = (
            np.concatenate(pair, axis=2) for pair in ((self.scores, other.scores), (self.boxes, other.boxes))
        )
        order = np.argsort(-scores, axis=2, kind="stable")[:, :, : max(self.scores.shape[2], other.scores.shape[2])]
        return Located(
            np.take_along_axis(scores, order, axis=2), np.take_along_axis(boxes, order[..., np.newaxis], axis=2)
        )


class Localiser:
    """A localiser's networks with `weights` by canonical name, in float32. Without weights, `load` some first.

    With `others`, of the same classes, crop and anchors, it is the first of an ensemble, which looks as the first does:
    of each anchor the probabilities of all are averaged, and their boxes.
    """

    def __init__(
        self,
        plan: LocaliserPlan,
        weights: Mapping[str, np.ndarray] | None,
        preprocessing: Preprocessing,
        views: LocaliserViews = LocaliserViews(),
        others: Sequence[Localiser] = (),
    ):
        self.plan, self.preprocessing, self.views, self.members = plan, preprocessing, views, (self, *others)
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
        every = np.tile(np.arange(self.plan.spec.classes or 0, dtype=np.int32), (split.count, 1))
        return self.candidates(split, every, 1, progress)

    def candidates(
        self,
        split: Objects,
        labels: np.ndarray,
        count: int,
        progress: Callable[[int, int], None] = lambda done, of: None,
    ) -> Located:
        """The `count` best boxes, or as many as there are anchors, of classes int32 `labels` (n, k) in each image."""
        best, done = None, 0
        for canvases in self.canvases:
            rows: dict[int, tuple[np.ndarray, np.ndarray]] = {}
            for canvas, images in by_group(canvases.chosen(split.sizes).numpy()).items():
                part = split.part(split.name, images)
                size = canvases.shapes[canvas]
                find, batch = self._finder(size, canvases.sides, count), batch_on(size, len(self.members))
                for image, row in zip(images, _looked(part, labels[images], find, batch), strict=True):
                    rows[image], done = row, done + 1
                    progress(done, split.count * len(self.canvases))
            scores, boxes = zip(*(rows[image] for image in range(split.count)), strict=True)
            found = Located(np.stack(scores), np.stack(boxes))
            best = best.merged(found) if best else found
        assert best is not None  # there is at least one view
        return best

    @cached_property
    def _finder(self) -> Callable[[Canvas, Sides, int], Find]:
        """What finds the best boxes in a batch of files of images that take a canvas, by the sides of a scaled image;
        traced once for each."""
        return cache(
            lambda canvas, sides, count: tf.function(
                lambda files, labels: self.on(self.place(files, canvas, sides), labels, count), autograph=False
            )
        )

    def place(self, files: tf.Tensor, canvas: Canvas, sides: Sides) -> Placed:
        """Encoded image files, strings (B,), on a canvas, by the sides of a scaled image."""
        channels, spec = self.plan.input_shape[-1], tf.TensorSpec
        parts = tf.map_fn(
            lambda data: self.place_image(decode(data, channels), canvas, sides),
            files,
            fn_output_signature=(spec([*canvas, channels]), spec([4]), spec([2]), spec([2])),
        )
        return Placed(*parts)

    def place_image(self, image: tf.Tensor, canvas: Canvas, sides: Sides) -> tuple[tf.Tensor, ...]:
        """One uint8 (h, w, channels) on a canvas: the parts of a Placed."""
        return placed(image, *canvas, where=self.where, sides=sides).parts

    def on(self, images: Placed, labels: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores (B, k, count) and boxes (B, k, count, 4), in pixels of the images, of classes int32 (B, k) of images
        on canvases of one size."""
        return self.best(self.told(images), images, labels, count)

    def told(self, images: Placed) -> list[Told]:
        """What the networks of each of `members` tell of images on canvases of one size."""
        height, width = images.pixels.shape[1:3]
        return [each.networks(each.normalised(images, height, width)) for each in self.members]

    def normalised(self, images: Placed, height: int, width: int) -> tf.Tensor:
        """Images on canvases of that size as the networks take them."""
        return normalised(images.pixels, images.window, on_canvas(self.preprocessing, height, width))

    def best(self, told: Sequence[Told], images: Placed, labels: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
        """As `on`, of what is `told` of the images."""
        height, width = images.pixels.shape[1:3]
        scores, boxes = self._best(told, images.window, (height, width), labels, count)
        shape = tf.shape(boxes)
        return scores, tf.reshape(images.in_image(tf.reshape(boxes, [shape[0], -1, 4])), shape)

    def _best(
        self, told: Sequence[Told], window: tf.Tensor, canvas: Canvas, labels: tf.Tensor, count: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores (B, k, count) and boxes (B, k, count, 4), in pixels of the canvas, of the likeliest anchors of each of
        the classes among those with as much of their area in the windows (B, 4) as training uses; of one that
        is moved out of the window, or shrunk to nothing, its own box."""
        spec, [level], (height, width) = self.plan.spec, self.plan.at(*canvas).levels(), told[0][0].shape[1:3]
        anchors = anchor_grid(height, width, **anchor_fields(self.plan, level))
        inside = share_inside(anchors, window) > GEOMETRIES[spec.geometry].inside
        rows = [tf.transpose(in_rows(logits, spec.classes or 0), [0, 2, 1]) for logits, _ in told]
        rows = averaged([tf.gather(each, labels, batch_dims=1) for each in rows])
        best, places = tf.math.top_k(tf.where(inside[:, tf.newaxis], rows, -np.inf), min(count, anchors.shape[0]))
        boxes = []
        for each, (_, deltas) in zip(self.members, told, strict=True):
            own = labels[..., tf.newaxis] if each.plan.spec.per_class else 0
            moves = tf.gather(in_rows(deltas, 4), places * each.plan.spec.boxes + own, batch_dims=1)
            boxes.append(decoded(moves, tf.gather(anchors, places)))
        moved, unmoved = (
            tf.reshape(window_clipped(tf.reshape(each, [tf.shape(each)[0], -1, 4]), window), tf.shape(each))
            for each in (tf.add_n(boxes) / len(boxes), tf.gather(anchors, places))
        )
        return tf.sigmoid(best), tf.where(vanished(moved)[..., tf.newaxis], unmoved, moved)


def averaged(logits: Sequence[tf.Tensor]) -> tf.Tensor:
    """The logit of the mean of the probabilities of several logits, of one itself: also where these round to 0 or 1."""
    if len(logits) == 1:
        return logits[0]
    yes, no = (tf.reduce_logsumexp(tf.math.log_sigmoid(sign * tf.stack(logits)), axis=0) for sign in (1.0, -1.0))
    return yes - no


def check_ensemble(first: Localiser, other: Localiser, path: str) -> None:
    """ReskerasError (status 2) for a localiser at `path` that does not tell of the first one's anchors."""
    mine, theirs = (
        (each.plan.canvas, each.plan.spec.shorter, each.plan.levels(), each.plan.spec.anchors)
        for each in (first, other)
    )
    for name, ours, own in zip(("crop", "shorter side", "map", "anchors"), mine, theirs, strict=True):
        if ours != own:
            raise ReskerasError(
                f"with: {path} differs from the first in its {name}, which the localisers of an ensemble share"
            )


def batch_on(canvas: Canvas, members: int) -> int:
    """How many images on a canvas of that size so many localisers look at at once."""
    return max(min(BATCH, PIXELS // (prod(canvas) * members)), 1)


def _looked(split: Objects, labels: np.ndarray, find: Find, most: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What `find` says of each image of `split` and its classes (n, k), all of which take the same canvas; at most
    `most` at once."""
    wanted = tf.constant(labels)

    def load(indices: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        files = tf.map_fn(split.read, indices, fn_output_signature=tf.TensorSpec([], tf.string))
        return files, tf.gather(wanted, indices), weights

    images = Rows.shard(min(most, split.count), 0, 1)
    files = ordered_batches(load, split.count, images, ReadAhead.of(images.count, ()))
    batches = ((find(batch, classes), weights) for batch, classes, weights in files)
    for (scores, boxes), weights in named_failures(batches, split.images(), range(split.count), images.count):
        count = int(weights.numpy().sum())
        yield from zip(scores.numpy()[:count], boxes.numpy()[:count], strict=True)
