"""The input pipeline of a detector: images on canvases with their boxes; a pure function of (seed, epoch, step).

Where a detector has several canvases the images of a batch share one; which one follows from the images' sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import partial, reduce
from typing import Self

import numpy as np
import tensorflow as tf

from reskeras.data.broken import first_broken
from reskeras.data.epoch_order import EpochOrder, GroupedOrder, by_group
from reskeras.data.pipeline import first_broken_in_training, ordered_batches, training_batches
from reskeras.data.pixel_boxes import erasing
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.random_change import coins, log_uniform, quarter_turns
from reskeras.data.shard_rows import Rows
from reskeras.data.source import Source
from reskeras.errors import ReskerasError
from reskeras.recipes.recipe import Recipe
from reskeras.tasks.detection.canvas import Canvases, normalised, on_canvas
from reskeras.tasks.detection.mosaic import Tiles, mosaics
from reskeras.tasks.detection.object_feed import ObjectFeed, TrainingRows, most_objects
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.detection.placing import Inputs, flipped, on_canvases, transposed
from reskeras.training.strategy import Replicas

# folded into a batch's seed
SCALE, MIRROR, FLIP_ROWS, ERASE, LEARN, MOSAIC, ROTATE = 101, 102, 103, 104, 105, 106, 107


class DetectionFeed(ObjectFeed):
    """Training and watched images of `source` by `recipe`, sharded over `replicas`.

    A batch is (inputs, weights (B,)): the inputs of `training_model`, and 1 for images, 0 for padding. `canvases` are
    by default the one of the `preprocessing`.
    """

    whose = "detectors"
    augmentations = ("scale", "flip", "flip_rows", "rotate", "colour", "hue", "lighting", "erase", "mosaic", "repeats")
    rest = 0.0  # where an image, or its visible part, is that is not moved: 0 is the upper left corner
    moves = False  # whether images are at random places also where they are not scaled at random

    def __init__(
        self,
        recipe: Recipe,
        source: Source[Objects],
        preprocessing: Preprocessing,
        replicas: Replicas,
        canvases: Canvases | None = None,
    ):
        super().__init__(recipe, source, preprocessing, replicas)
        self.canvases = canvases or Canvases((preprocessing.size[:2],))
        self.most = most_objects(source, recipe.augment)
        self.order = self._order(min(recipe.step_images, self.train.count))
        self.steps_per_epoch = self.order.steps
        self.epochs = -(-recipe.steps(self.steps_per_epoch) // self.steps_per_epoch)
        self.mosaics_until = self.epochs - (recipe.augment.mosaic.except_last if recipe.augment.mosaic else 0)

    def _order(self, batch_size: int) -> EpochOrder:
        """Which training images a batch has: where there are several canvases, those of one."""
        count, repeats = self.train.count, self.recipe.augment.repeats
        if len(self.canvases) == 1:
            return EpochOrder(count, batch_size, repeats)
        return GroupedOrder(
            count, batch_size, repeats, self.canvases.chosen(self.train.sizes).numpy(), self.canvases.larger
        )

    def training(self, epoch: int, step: int, until: int) -> tf.data.Dataset:
        """Batches from `step` of `epoch` up to epoch `until`."""
        if self.mosaics_until < 1:
            raise ReskerasError(
                f"augment.mosaic.except_last: {self.epochs - self.mosaics_until} leaves none of {self.epochs} "
                f"{'epoch' if self.epochs == 1 else 'epochs'} with mosaics; use fewer"
            )
        recipe, order = self.recipe, self.order

        def shard(part: tuple[int, int]) -> tf.data.Dataset:
            rows = Rows.shard(order.batch_size, *part)
            batch = SeveralCanvases(self, rows) if isinstance(order, GroupedOrder) else TrainingCanvases(self, rows)
            return training_batches(batch, recipe.seed, range(epoch, until), step, order)

        return self.replicas.dataset(shard, order.batch_size)

    def finished(self, inputs: Inputs, weights: tf.Tensor) -> tuple[Inputs, tf.Tensor]:
        """The batch as it is: canvases hold fractions, so that nothing is gained by normalising them on the device."""
        return inputs, weights

    def watching(self) -> tuple[tf.data.Dataset, int]:
        """Batches of every watched image once, in order, again and again, and the number of batches of one pass."""
        size = min(self.recipe.step_images, self.watched.count)
        size += -size % self.replicas.count

        by_canvas = by_group(self.canvases.chosen(self.watched.sizes).numpy())

        def load(canvas: int, indices: tf.Tensor, weights: tf.Tensor) -> tuple[Inputs, tf.Tensor]:
            feed, indices = self.on(canvas), tf.gather(by_canvas[canvas], indices)
            # seeded by image, so that its loss does not depend on the rest of the batch
            seeds = tf.stack([tf.fill(tf.shape(indices), self.recipe.seed), tf.cast(indices, tf.int32)], axis=1)
            return _finished(feed.preprocessing, feed.unmoved(self.watched, indices) | {"seed": seeds}, weights)

        def shard(part: tuple[int, int]) -> tf.data.Dataset:
            rows = Rows.shard(size, *part)
            read_ahead = self.read_ahead(rows.count)
            parts = [
                ordered_batches(partial(load, canvas), len(images), rows, read_ahead)
                for canvas, images in by_canvas.items()
            ]
            return reduce(tf.data.Dataset.concatenate, parts).repeat()

        return self.replicas.dataset(shard, size), sum(-(-len(images) // size) for images in by_canvas.values())

    def on(self, canvas: int) -> Self:
        """The same for images on one of its canvases alone."""
        if len(self.canvases) == 1:
            return self
        other = copy(self)
        other.canvases = replace(self.canvases, shapes=self.canvases.shapes[canvas : canvas + 1])
        other.preprocessing = on_canvas(self.preprocessing, *other.canvases.shapes[0])
        return other

    def sample(self, count: int) -> np.ndarray:
        """At most `count` evenly spaced training images on the largest canvas, normalised, float32."""
        indices = np.unique(np.linspace(0, self.train.count - 1, min(count, self.train.count)).astype(np.int64))
        loaded = self.unmoved(self.train, tf.constant(indices))
        inputs, _ = _finished(self.preprocessing, loaded, tf.ones([len(indices)]))
        return inputs["image"].numpy()

    def broken_image(self, epoch: int, step: int) -> str | None:
        """Where the image is stored that could not be read after `step` steps of `epoch`."""
        images, watched = self.train.images(), self.watched.images()
        found = first_broken_in_training(images, watched, self.recipe.seed, epoch, step, self.order)
        # a mosaic has images from anywhere
        return found or (first_broken(images, range(images.count)) if self.recipe.augment.mosaic else None)

    def example(self) -> tuple[dict[str, tf.TensorSpec], tf.TensorSpec]:
        """Shapes and dtypes of a batch."""
        spec = tf.TensorSpec
        return {
            "image": spec([None, *self.preprocessing.size]),
            "window": spec([None, 4]),
            "boxes": spec([None, self.most, 4]),
            "labels": spec([None, self.most], tf.int32),
            "seed": spec([None, 2], tf.int32),
        }, spec([None])

    def unmoved(self, split: Objects, indices: tf.Tensor) -> Inputs:
        """As `loaded`, one image on each canvas, in its own size at rest."""
        count = indices.shape[0]
        tiles = {"index": indices[:, tf.newaxis], "factor": tf.ones([count, 1])}
        return self.loaded(split, tiles | {"where": tf.fill([count, 1, 2], self.rest)})

    def loaded(self, split: Objects, tiles: Tiles) -> Inputs:
        """Canvases of 0..255 with `tiles`, as `placing.on_canvases` has both."""
        at_once = -(-self.read_ahead(tiles["index"].shape[0]).images // tiles["index"].shape[1])
        size = self.preprocessing.size
        return on_canvases(split, tiles, size, self.canvases, self.most, at_once, fits=not self.moves)


class SeveralCanvases:
    """Builds this shard's rows of training batches, each with images on one of the feed's canvases."""

    def __init__(self, feed: DetectionFeed, rows: Rows):
        self.rows, self.count, self.read_ahead = rows, feed.train.count, feed.read_ahead(rows.count)
        used = by_group(feed.canvases.chosen(feed.train.sizes).numpy())
        self.batches = {canvas: TrainingCanvases(feed.on(canvas), rows) for canvas in used}

    def __call__(
        self, indices: tf.Tensor, seed: tf.Tensor, epoch: tf.Tensor, canvas: tf.Tensor, real: tf.Tensor
    ) -> tuple[Inputs, tf.Tensor]:
        """As TrainingCanvases, on a `canvas` by its number; `real` (B,) is 0 for images that do not count."""
        chosen = tf.argmax(tf.equal(canvas, list(self.batches)), output_type=tf.int32)
        branches = [partial(batch, indices, seed, epoch) for batch in self.batches.values()]
        inputs, _ = tf.switch_case(chosen, branches)
        return inputs, tf.ensure_shape(real, [self.rows.count])


class TrainingCanvases(TrainingRows):
    """Builds this shard's rows of a training batch, on a feed's one canvas, from indices and a seed."""

    feed: DetectionFeed

    def __call__(self, indices: tf.Tensor, seed: tf.Tensor, epoch: tf.Tensor) -> tuple[Inputs, tf.Tensor]:
        """int64 indices of this shard's rows, the global batch's seed, int32 (2,), and its epoch to a batch."""
        fold, rows, size = partial(tf.random.experimental.stateless_fold_in, seed), self.rows, self.feed.preprocessing
        tiles = self._tiles(tf.ensure_shape(indices, [rows.count]), fold, epoch)
        inputs = self.feed.loaded(self.feed.train, tiles)
        inputs["image"] = self.coloured(inputs["image"], seed)
        if self.feed.mirrors:
            inputs = flipped(inputs, self.mirrored(indices, epoch, fold(MIRROR)), size.width)
        if self.augment.flip_rows:
            inputs = transposed(flipped(transposed(inputs), coins(fold(FLIP_ROWS), rows), size.height))
        seeds = rows.taken(tf.random.stateless_uniform([rows.of, 2], fold(LEARN), None, None, tf.int32))
        inputs, weights = _finished(size, inputs | {"seed": seeds}, tf.ones([rows.count]))
        if self.augment.erase:
            erased = erasing(self.augment.erase, size.height, size.width)
            inputs["image"] = erased(inputs["image"], fold(ERASE), rows)
        return inputs, weights

    def _tiles(self, indices: tf.Tensor, fold: Callable[[int], tf.Tensor], epoch: tf.Tensor) -> Tiles:
        """Which images are on the canvases, and where."""
        feed, rows, augment = self.feed, self.rows, self.augment
        draws = rows.taken(tf.random.stateless_uniform([rows.of, 3], fold(SCALE)))
        moved = augment.scale or feed.moves
        tiles = {
            "index": indices[:, tf.newaxis],
            "factor": log_uniform(draws[:, :1], *(augment.scale or (1.0, 1.0))),
            "where": (draws[:, 1:] if moved else tf.fill([rows.count, 2], feed.rest))[:, tf.newaxis],
        }
        if augment.mosaic:
            size, on = feed.preprocessing.size[:2], epoch < feed.mosaics_until
            tiles = mosaics(tiles, augment.mosaic, self.count, size, fold(MOSAIC), rows, on)
        if augment.rotate:
            tiles["quarters"] = quarter_turns(augment.rotate, tiles["index"].shape[1])(fold(ROTATE), rows)
        return tiles


def _finished(preprocessing: Preprocessing, inputs: Inputs, weights: tf.Tensor) -> tuple[Inputs, tf.Tensor]:
    """The batch, normalised; its windows are around all images of a canvas."""
    parts = inputs["parts"]
    window = tf.concat([tf.reduce_min(parts[..., :2], axis=1), tf.reduce_max(parts[..., 2:], axis=1)], axis=1)
    others = {name: values for name, values in inputs.items() if name != "parts"}
    return others | {"window": window, "image": normalised(inputs["image"], parts, preprocessing)}, weights
