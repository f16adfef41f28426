"""The input pipeline of a refiner: warped regions drawn over all images; a pure function of (seed, epoch, step)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.data.batches import mapped
from reskeras.data.decode import decode
from reskeras.data.epoch_order import EpochOrder, shuffled
from reskeras.data.pipeline import first_broken_in_training, ordered_batches, training_batches
from reskeras.data.pixel_boxes import erasing
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.random_change import RandomChange, coins, random_flip
from reskeras.data.shard_rows import Rows
from reskeras.data.source import Source
from reskeras.data.training_batch import seed_of
from reskeras.networks.refiner import RefinerSpec
from reskeras.recipes.recipe import Recipe
from reskeras.tasks.detection.boxes import encoded
from reskeras.tasks.detection.object_feed import ObjectFeed, TrainingRows
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.localisation.localiser import Localiser
from reskeras.tasks.localisation.model import BACKGROUND
from reskeras.tasks.refinement.regions import Regions, regions_of
from reskeras.tasks.refinement.warping import warped
from reskeras.training.strategy import Replicas

POOLS = (-2, -3)  # folded into an epoch's seed to shuffle objects and background
WATCHED = 8  # regions of each watched image whose loss is measured
# the axis of images that a flip reverses, and what becomes of a region's deltas: top, left, height, width
FLIPS = {"flip": (2, (1.0, -1.0, 1.0, 1.0)), "flip_rows": (1, (-1.0, 1.0, 1.0, 1.0))}
ERASED = "erased"  # the boxes to erase in a batch that is not finished

Inputs = dict[str, tf.Tensor]


@dataclass(frozen=True, eq=False)
class RegionOrder(EpochOrder):
    """Regions in batches with `positives` that are objects each, the first `objects` of `count`, and otherwise
    background: both in a random order, again and again where an epoch needs more. `steps` batches are an epoch."""

    objects: int = 0
    positives: int = 0
    length: int = 0

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return self.length

    def batches(self, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The regions of each batch of the epoch with this seed, int64 (steps, batch_size)."""
        parts = []
        pools = (0, self.objects, self.positives), (self.objects, self.count, self.batch_size - self.positives)
        for (first, last, each), fold in zip(pools, POOLS, strict=True):
            order = shuffled(last - first, tf.random.experimental.stateless_fold_in(seed, fold))
            places = tf.range(self.steps * each, dtype=tf.int64) % max(last - first, 1)
            parts.append(tf.reshape(first + tf.cast(tf.gather(order, places), tf.int64), [self.steps, each]))
        return (tf.concat(parts, axis=1),)


class RefinerFeed(ObjectFeed):
    """Regions of the training and watched images of `source`, by `localiser`, sharded over `replicas`.

    A batch is (inputs, weights (R,)): the inputs of `training_model`, and 1 for regions, 0 for padding.
    """

    whose = "refiners"
    augmentations = ("flip", "flip_rows", "colour", "hue", "lighting", "erase")

    def __init__(
        self,
        recipe: Recipe,
        source: Source[Objects],
        preprocessing: Preprocessing,
        replicas: Replicas,
        spec: RefinerSpec,
        localiser: Localiser,
    ):
        super().__init__(recipe, source, preprocessing, replicas)
        self.spec = spec
        self.regions = _objects_first(regions_of(localiser, self.train, spec))
        self.looked = _some(regions_of(localiser, self.watched, spec), self.watched.count)
        self.order = self._order()
        self.steps_per_epoch = self.order.steps

    def _order(self) -> RegionOrder:
        count, objects = len(self.regions.image), int((self.regions.labels != BACKGROUND).sum())
        size = min(self.recipe.step_images, count)
        positives = min(max(round(size * self.spec.sample_share), 1), size - 1) if count > objects else size
        length = max(self.spec.regions * self.train.count // size, 1)
        return RegionOrder(count, size, objects=objects, positives=positives, length=length)

    def training(self, epoch: int, step: int, until: int) -> tf.data.Dataset:
        """Batches from `step` of `epoch` up to epoch `until`."""

        def shard(part: tuple[int, int]) -> tf.data.Dataset:
            batch = TrainingRegions(self, Rows.shard(self.order.batch_size, *part))
            return training_batches(batch, self.recipe.seed, range(epoch, until), step, self.order)

        return self.replicas.dataset(shard, self.order.batch_size)

    def finished(self, inputs: Inputs, weights: tf.Tensor) -> tuple[Inputs, tf.Tensor]:
        """The batch, normalised and then erased, so that boxes are filled with the mean."""
        image = self.preprocessing.normalise(inputs["image"])
        if ERASED in inputs:
            image = self.erasing.apply(image, inputs[ERASED])
        return {name: value for name, value in inputs.items() if name != ERASED} | {"image": image}, weights

    @property
    def erasing(self) -> RandomChange:
        """Random erasing of regions."""
        return erasing(self.recipe.augment.erase, self.preprocessing.height, self.preprocessing.width)

    def watching(self) -> tuple[tf.data.Dataset, int]:
        """Batches of some regions of every watched image once, in order, again and again, and the number of batches of
        one pass."""
        count = len(self.looked.image)
        size = min(self.recipe.step_images, count)
        size += -size % self.replicas.count

        def load(indices: tf.Tensor, weights: tf.Tensor) -> tuple[Inputs, tf.Tensor]:
            return self.finished(self.loaded(self.watched, self.looked, indices), weights)

        def shard(part: tuple[int, int]) -> tf.data.Dataset:
            rows = Rows.shard(size, *part)
            return ordered_batches(load, count, rows, self.read_ahead(rows.count)).repeat()

        return self.replicas.dataset(shard, size), -(-count // size)

    def sample(self, count: int) -> np.ndarray:
        """At most `count` evenly spaced regions of training images, warped and normalised, float32."""
        every = len(self.regions.image)
        indices = np.unique(np.linspace(0, every - 1, min(count, every)).astype(np.int64))
        loaded = self.loaded(self.train, self.regions, tf.constant(indices))
        return self.preprocessing.normalise(loaded["image"]).numpy()

    def broken_image(self, epoch: int, step: int) -> str | None:
        """Where the image is stored that could not be read after `step` steps of `epoch`."""
        images, watched = self.train.images(), self.watched.images()
        order = EpochOrder(self.train.count, min(self.order.batch_size, self.train.count))
        return first_broken_in_training(images, watched, self.recipe.seed, epoch, step, order)

    def example(self) -> tuple[dict[str, tf.TensorSpec], tf.TensorSpec]:
        """Shapes and dtypes of a batch."""
        spec = tf.TensorSpec
        shapes = {"image": spec([None, *self.preprocessing.size]), "labels": spec([None], tf.int32)}
        return {**shapes, "deltas": spec([None, 4])}, spec([None])

    def loaded(self, split: Objects, regions: Regions, indices: tf.Tensor) -> Inputs:
        """Regions 0..255, their labels and deltas, of int64 indices (R,)."""
        height, width, channels = self.preprocessing.size
        image, boxes, labels, targets = (
            tf.gather(tf.constant(each), indices)
            for each in (regions.image, regions.boxes, regions.labels, regions.targets)
        )

        def load(row: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            index, box = row
            return warped(decode(split.read(index), channels), box, height, width)

        pixels = mapped(
            load, (image, boxes), tf.TensorSpec([height, width, channels]), self.read_ahead(indices.shape[0]).images
        )
        deltas = encoded(targets, boxes) / tf.constant(self.spec.deviations)
        return {"image": pixels, "labels": labels, "deltas": deltas}


class TrainingRegions(TrainingRows):
    """Builds this shard's rows of a training batch from indices and a seed."""

    feed: RefinerFeed

    def __call__(self, indices: tf.Tensor, seed: tf.Tensor, epoch: tf.Tensor) -> tuple[Inputs, tf.Tensor]:
        """int64 indices of this shard's rows, the global batch's seed, int32 (2,), and its epoch to a batch."""
        feed, rows = self.feed, self.rows
        inputs = feed.loaded(feed.train, feed.regions, tf.ensure_shape(indices, [rows.count]))
        inputs["image"] = self.coloured(inputs["image"], seed)
        for part, asked in (("flip", feed.mirrors), ("flip_rows", self.augment.flip_rows)):
            if asked:
                own = seed_of(seed, part)
                chosen = self.mirrored(indices, epoch, own) if part == "flip" else coins(own, rows)
                axis, signs = FLIPS[part]
                inputs["image"] = random_flip(axis).apply(inputs["image"], chosen)
                inputs["deltas"] = inputs["deltas"] * tf.where(chosen[:, 0, 0], tf.constant(signs), 1.0)
        if self.augment.erase:
            inputs[ERASED] = feed.erasing.draw(seed_of(seed, "erase"), rows)
        return inputs, tf.ones([rows.count])


def _objects_first(regions: Regions) -> Regions:
    return regions.part(np.argsort(regions.labels == BACKGROUND, kind="stable"))


def _some(regions: Regions, images: int) -> Regions:
    """At most WATCHED regions of each image, evenly spaced over the best and the objects."""
    rows: list[Any] = []
    for image in range(images):
        own = np.flatnonzero(regions.image == image)
        rows.append(own[np.unique(np.linspace(0, len(own) - 1, min(WATCHED, len(own))).round().astype(int))])
    return regions.part(np.concatenate(rows))
