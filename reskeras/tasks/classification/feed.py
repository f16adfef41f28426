"""The input pipeline of a classifier: training batches from any position on, and watched images for validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from functools import cached_property
from typing import Any, Self

import numpy as np
import tensorflow as tf

from reskeras.data.class_labels import balanced_weights, named_weights
from reskeras.data.epoch_order import EpochOrder
from reskeras.data.pipeline import evaluation_batches, evaluation_images, first_broken_in_training, training_batches
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.random_change import by_seeds
from reskeras.data.sample import some_images, split_off
from reskeras.data.source import Source, Split
from reskeras.data.survey import labels_of
from reskeras.data.training_batch import TrainingBatch, smoothed
from reskeras.recipes.recipe import Recipe
from reskeras.recipes.sizes import Size, size_changes
from reskeras.training.own_parts import NO_PARTS, OwnParts, check_augment, checked_loss
from reskeras.training.strategy import Replicas


class Feed:
    """Training and watched images of `source` by `recipe`, sharded over `replicas`.

    `watches` says which images are watched (used as Keras' validation data): the data's validation split, else
    held-out training images, else the test images. They have the network's size, as have training images unless the
    recipe has sizes: see `at`.
    """

    def __init__(
        self,
        recipe: Recipe,
        source: Source[Split],
        preprocessing: Preprocessing,
        replicas: Replicas,
        own: OwnParts = NO_PARTS,
    ):
        self.recipe, self.source, self.preprocessing, self.replicas = recipe, source, preprocessing, replicas
        self.own = own
        self.train = some_images(source.training_images("train"), recipe.images, recipe.seed)
        held = source.validation
        if held is None:
            self.train, held = split_off(self.train, recipe.holdout, recipe.seed, source.division)
        self.held_out = held is not None
        self.watched: Split = held or source.test
        self.watches = "validation" if source.validation else "held-out" if held else "test"
        self.classes = len(source.classes) if recipe.soft_labels or own.loss else None
        count = self.train.count
        self.order = EpochOrder(count, min(recipe.step_images, count), recipe.augment.repeats)
        self.steps_per_epoch = each = self.order.steps
        self.sizes = size_changes(recipe.sizes, preprocessing.size, each, recipe.steps(each))
        self.changes: Mapping[int, str] = {first: f"{height}x{width}" for first, (height, width) in self.sizes.items()}
        self._others: dict[Size, Self] = {}

    def at(self, epoch: int) -> Self:
        """The same for images of the size that `epoch` trains on."""
        begun = [size for first, size in self.sizes.items() if first <= epoch]
        if not begun or begun[-1] == self.preprocessing.size[:2]:
            return self
        if begun[-1] not in self._others:
            other = copy(self)
            vars(other).pop("finished", None)  # it belongs to this size
            other.preprocessing = self.preprocessing.at(*begun[-1])
            self._others[begun[-1]] = other
        return self._others[begun[-1]]

    def training(self, epoch: int, step: int, until: int) -> tf.data.Dataset:
        """Batches from `step` of `epoch` up to `until`, as `finished` takes them."""

        def shard(part: tuple[int, int]) -> tf.data.Dataset:
            return training_batches(self._batch(part), self.recipe.seed, range(epoch, until), step, self.order)

        return self.replicas.dataset(shard, self.order.batch_size)

    def _batch(self, part: tuple[int, int] = (0, 1)) -> TrainingBatch:
        """What makes the batches of a shard."""
        recipe = self.recipe
        return TrainingBatch(
            self.train,
            self.preprocessing,
            recipe.augment,
            mirror=self.source.mirror,
            batch_size=recipe.step_images,
            shard=part,
            replicas=self.replicas.count // self.replicas.workers,
            classes=self.classes,
            # weights are those of the true classes, so labels are smoothed after weighting
            label_smoothing=0.0 if recipe.weights_classes else recipe.label_smoothing,
            own=by_seeds(self.own.augment) if self.own.augment else None,
            seed=recipe.seed,
        )

    @cached_property
    def finished(self) -> Callable[..., tuple[tf.Tensor, ...]]:
        """A batch, or a replica's part of it, to (images, labels), and sample weights if classes are weighted."""
        finish = self._batch().finished
        if not self.recipe.weights_classes:
            return finish
        weights = self.class_weights  # computed outside the graph

        def finished(*batch: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            images, labels = finish(*batch)
            return images, *self.weighted(labels, weights)

        return finished

    def weighted(self, labels: tf.Tensor, weights: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        """Labels as the loss takes them, and sample weights by the `weights` of the classes."""
        if self.classes is None:
            return labels, tf.gather(weights, labels)
        shares, totals = weighted_shares(labels, weights, self.recipe.label_smoothing)
        if self.recipe.loss.each_class:  # the shares must not change where absent classes count too
            shares = smoothed(labels, self.recipe.label_smoothing)
        return shares, totals

    def check(self) -> None:
        """Raise ReskerasError when these images cannot be augmented or sharded as the recipe asks."""
        if self.own.augment:
            check_augment(self.own.augment, self.preprocessing.size)
        if self.own.loss:
            checked_loss(self.own.loss, len(self.source.classes))
        if not isinstance(self.recipe.class_weights, str):
            self.class_weights  # noqa: B018 - refuses names of no class
        for epoch in self.sizes or (0,):
            self.at(epoch).training(0, 0, 1)

    def watching(self) -> tuple[tf.data.Dataset, int]:
        """Batches of every watched image once, in order, again and again, and the number of batches of one pass."""
        size = min(self.recipe.step_images, self.watched.count)
        size += -size % self.replicas.count
        several = self.replicas.count > 1

        def shard(part: tuple[int, int]) -> tf.data.Dataset:
            batches = evaluation_batches(
                self.watched, self.preprocessing, size, classes=self.classes, shard=part if several else None
            )
            return batches.dataset.repeat()

        return self.replicas.dataset(shard, size), -(-self.watched.count // size)

    def sample(self, count: int) -> np.ndarray:
        """At most `count` evenly spaced training images as the network gets them, not augmented, float32."""
        images, _ = evaluation_images(self.train, self.preprocessing, count)
        return self.preprocessing.normalise(tf.constant(images)).numpy()

    def broken_image(self, epoch: int, step: int) -> str | None:
        """Where the image is stored that could not be read after `step` steps of `epoch`."""
        return first_broken_in_training(self.train, self.watched, self.recipe.seed, epoch, step, self.order)

    def example(self) -> tuple[tf.TensorSpec, tf.TensorSpec]:
        """Shapes and dtypes of the images and labels of a finished batch."""
        labels = tf.TensorSpec([None], tf.int32) if self.classes is None else tf.TensorSpec([None, self.classes])
        return tf.TensorSpec([None, *self.preprocessing.size]), labels

    @cached_property
    def class_weights(self) -> np.ndarray:
        """float32 (classes,): the loss weight of an image of each class; 1 on average over the images if balanced."""
        asked = self.recipe.class_weights
        return self.balanced_weights() if isinstance(asked, str) else named_weights(asked, self.source.classes)

    def balanced_weights(self) -> np.ndarray:
        """Weights by inverse frequency."""
        return balanced_weights(np.bincount(labels_of(self.train)[1], minlength=len(self.source.classes)))


def weighted_shares(shares: tf.Tensor, weights: np.ndarray, smoothing: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Labels (n, classes) and sample weights (n,) that weight each class' share of an image by that class' weight.

    `shares` is float32 (n, classes), the soft label of each image: one-hot or mixed, not smoothed. The weighted
    cross-entropy is then the sum over an image's classes of share x weight x cross-entropy with that class, smoothed.
    A single weight per image would weight the common part of a mixed image like its rare part.
    """
    counted = shares * weights
    totals = tf.reduce_sum(counted, axis=1)
    return smoothed(counted / totals[:, tf.newaxis], smoothing), totals
