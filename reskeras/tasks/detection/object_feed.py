"""What the input pipelines of annotated images have in common: which images they train on and watch, and which
augmentations there are for images with boxes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import tensorflow as tf

from reskeras.data.batches import ReadAhead
from reskeras.data.division import BY_POSITION, drawn, held_by_position, held_out
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.random_change import alternating, coins
from reskeras.data.sample import check_count
from reskeras.data.shard_rows import Rows
from reskeras.data.source import Source
from reskeras.data.training_batch import colour_changes, seed_of
from reskeras.errors import ReskerasError
from reskeras.recipes.augment import AugmentSpec
from reskeras.recipes.recipe import Recipe
from reskeras.tasks.detection.objects import Objects
from reskeras.training.strategy import Replicas

TILES = 4  # images of a mosaic


class ObjectFeed(ABC):
    """Training and watched images of `source` by `recipe`, sharded over `replicas`. ReskerasError (status 2) for a
    recipe with augmentations that these images cannot have."""

    changes: Mapping[int, str] = {}  # epochs do not differ in the size of their images
    whose: ClassVar[str]  # what is trained, in the plural
    augmentations: ClassVar[tuple[str, ...]]  # what may be set of `augment`

    def __init__(self, recipe: Recipe, source: Source[Objects], preprocessing: Preprocessing, replicas: Replicas):
        self.recipe, self.source, self.preprocessing, self.replicas = recipe, source, preprocessing, replicas
        self._check_augment()
        self.train, held_out = divided(source, recipe)
        self.held_out = held_out is not None
        self.watched = held_out or source.test
        self.watches = "held-out" if self.held_out else "test"

    @property
    def mirrors(self) -> bool:
        """Whether training images are mirrored."""
        flip = self.recipe.augment.flip
        return self.source.mirror if flip == "auto" else bool(flip)

    def at(self, epoch: int) -> Self:
        """The pipeline of `epoch`: that of all epochs."""
        return self

    @abstractmethod
    def training(self, epoch: int, step: int, until: int) -> tf.data.Dataset:
        """Batches from `step` of `epoch` up to epoch `until`."""

    def check(self) -> None:
        """Raise ReskerasError when these images cannot be sharded."""
        self.training(0, 0, 1)

    def _check_augment(self) -> None:
        """Raise ReskerasError when these images cannot be augmented as the recipe asks."""
        augment = self.recipe.augment
        for name, field in type(augment).model_fields.items():
            value = getattr(augment, name)
            # a default crop is only for those who know of it; off is off
            asked = value != field.default or (name == "pad_crop" and name in augment.model_fields_set)
            if asked and value and name not in self.augmentations:
                known = f"{', '.join(self.augmentations[:-1])} and {self.augmentations[-1]}"
                raise ReskerasError(f"augment.{name}: not for {self.whose}; they support {known}")

    def read_ahead(self, count: int) -> ReadAhead:
        """How many batches of `count` images are prepared in parallel."""
        return ReadAhead.of(count, self.preprocessing.size)


class TrainingRows:
    """Base of what builds a shard's rows of training batches: changes of colours, and which rows are mirrored."""

    def __init__(self, feed: Any, rows: Rows):
        self.feed, self.rows, self.augment = feed, rows, feed.recipe.augment
        self.count, self.read_ahead = feed.order.count, feed.read_ahead(rows.count)
        self.changes = colour_changes(self.augment, feed.preprocessing.channels)
        self.sides = alternating(self.count, feed.recipe.seed) if self.augment.flip == "alternating" else None

    def coloured(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Images 0..255 with the batch's changes of colours."""
        for part, change in self.changes.items():
            images = change(images, seed_of(seed, part), self.rows)
        return images

    def mirrored(self, indices: tf.Tensor, epoch: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Which rows are mirrored, bool (n, 1, 1, 1): in turns by their indices, or by chance with this seed."""
        return self.sides(indices, epoch) if self.sides else coins(seed, self.rows)


def used_images(source: Source[Objects], recipe: Recipe) -> Objects:
    """The training images that the recipe uses, before any are held out: all, or `images` of them, stratified by the
    classes that they hold, see `division.drawn`. ReskerasError for more than there are."""
    train = source.training_images("train")
    if recipe.images is None:
        return train
    check_count(train.name, train.count, recipe.images)
    names, classes = [str(each) for each in train.ids], train.held(len(source.classes))
    return train.part(train.name, drawn(names, classes, recipe.images, recipe.seed))


def divided(source: Source[Objects], recipe: Recipe) -> tuple[Objects, Objects | None]:
    """The used images to train on, and those to hold out, if there are any."""
    train = used_images(source, recipe)
    if source.division == BY_POSITION:
        kept, held_back = held_by_position(train.count, recipe.holdout, recipe.seed)
    else:
        names, alike = [str(each) for each in train.ids], np.zeros(train.count, np.int32)
        kept, held_back = held_out(names, alike, recipe.holdout, recipe.seed)
    return (train.part("train", kept), train.part("held-out", held_back)) if len(held_back) else (train, None)


def most_objects(source: Source[Objects], augment: AugmentSpec) -> int:
    """The rows of boxes of a batch's images: the largest number of objects of an image, or of a mosaic."""
    train = source.training_images("train").most
    return max(TILES * train if augment.mosaic else train, source.test.most)
