"""One training batch: images read, cropped, augmented, normalised and mixed, as a function of a seed."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from reskeras.data.batches import FLOATS, PIXELS, ReadAhead, fitted_batch
from reskeras.data.layers import Mixing, colour_jitter
from reskeras.data.pixel_boxes import erasing
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.rand_augment import random_operations
from reskeras.data.random_change import RandomChange, alternating, lighting, random_crop, random_flip, random_turn
from reskeras.data.shard_rows import Rows
from reskeras.data.source import Split
from reskeras.data.windows import NUMBERS, TRIES, cropped_batch, window_of
from reskeras.errors import ReskerasError
from reskeras.printable import counted
from reskeras.recipes.augment import AugmentSpec

# numbers folded into a batch's seed, so that the draws of different augmentations are independent; the first two
# augmentations that there were split it instead
SPLIT = {"crop": 0, "flip": 1}
FOLDED = {"window": 2, "rand_augment": 3, "colour": 4, "lighting": 5, "erase": 6, "mix": 7, "flip_rows": 8}
FOLDED |= {"own": 9, "rotate": 10}

Numbers = dict[str, Any]


class TrainingBatch:
    """Makes the rows of a batch from indices and a seed, in two halves.

    Calling it reads images, crops them by window, applies rand_augment, and draws the numbers of all other
    augmentations. `finished` applies these, which the device that trains computes: colour, lighting and `own` on the
    0..255 scale; after normalisation padding, flips and erasing, so that they fill with the mean (v1 section 4.2);
    mixing is last. Its labels are int32 (n,), or with `classes` float32 (n, classes): one-hot, smoothed as
    (1 - s) one-hot + s / classes, mixed. Mixing or smoothing without `classes` is a ValueError.

    `shard` (index, count): of each batch of `batch_size` images, or of the whole split where that is smaller, only
    every count-th run of rows; it is divided among `replicas`, and an image is mixed with one of its own replica. The
    training's `seed` decides in which epochs alternating flips mirror an image.
    Raises ReskerasError (status 2) when a batch cannot be shared out evenly, or an augmentation cannot be done.
    """

    def __init__(
        self,
        split: Split,
        preprocessing: Preprocessing,
        augment: AugmentSpec,
        *,
        mirror: bool,
        batch_size: int,
        shard: tuple[int, int] = (0, 1),
        replicas: int = 1,
        classes: int | None = None,
        label_smoothing: float = 0.0,
        own: RandomChange | None = None,
        seed: int = 0,
    ):
        if classes is None and (augment.mixes or label_smoothing):
            raise ValueError("mixed or smoothed labels are probabilities: give the number of classes")
        for field, instead in (("scale", "use random_resized_crop or shorter_side"), ("mosaic", "use cutmix")):
            if getattr(augment, field):
                raise ReskerasError(f"augment.{field}: only for detectors; {instead}")
        self.split, self.preprocessing = split, preprocessing
        self.rows, self.replicas = Rows.shard(min(batch_size, split.count), *shard), replicas
        self.classes, self.label_smoothing = classes, label_smoothing
        self.read_ahead = ReadAhead.of(self.rows.count, preprocessing.size, FLOATS if augment.rand_augment else PIXELS)
        height, width, channels = preprocessing.size
        self.window = window_of(augment, height, width)
        self.operations = random_operations(augment.rand_augment) if augment.rand_augment else None
        self.colours = colour_changes(augment, channels) | ({"own": own} if own else {})
        self.moves = _moves(augment, mirror if augment.flip == "auto" else bool(augment.flip), height, width)
        self.sides = alternating(split.count, seed) if augment.flip == "alternating" else None
        self.mix = Mixing(augment.mixup, augment.cutmix, height, width) if augment.mixes else None

    @property
    def count(self) -> int:
        """How many images the split has."""
        return self.split.count

    def __call__(
        self, indices: tf.Tensor, seed: tf.Tensor, epoch: tf.Tensor | int = 0
    ) -> tuple[tf.Tensor, tf.Tensor, Numbers]:
        """int64 indices of this shard's rows, the global batch's seed, int32 (2,), and its epoch to uint8 images, int32
        labels and the numbers of `finished`."""
        images, labels = self._read(indices, seed)
        if self.operations:  # these leave whole numbers
            changed = self.operations(tf.cast(images, tf.float32), seed_of(seed, "rand_augment"), self.rows)
            images = tf.cast(changed, tf.uint8)
        changes = {**self.colours, **self.moves}
        numbers = {part: change.draw(seed_of(seed, part), self.rows) for part, change in changes.items()}
        if self.sides:
            numbers["flip"] = self.sides(indices, epoch)
        if self.mix:
            numbers["mix"] = self.mix.draw(seed_of(seed, "mix"), self.rows, self.replicas)
        return images, labels, numbers

    def finished(self, images: tf.Tensor, labels: tf.Tensor, numbers: Numbers) -> tuple[tf.Tensor, tf.Tensor]:
        """The rows of a replica as they were read, to float32 images and labels."""
        images = tf.cast(images, tf.float32)
        for part, change in self.colours.items():
            images = change.apply(images, numbers[part])
        images = self.preprocessing.normalise(images, in_step=True)
        for part, change in self.moves.items():
            images = change.apply(images, numbers[part])
        if self.classes is None:
            return images, labels
        targets = probabilities(labels, self.classes, self.label_smoothing)
        return self.mix.apply(images, targets, numbers["mix"]) if self.mix else (images, targets)

    def _read(self, indices: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        size, at_once = self.preprocessing.size, self.read_ahead.images
        if self.window is None:
            images, labels = fitted_batch(self.split, indices, size, at_once=at_once)
        else:
            draws = tf.random.stateless_uniform([self.rows.of, TRIES, NUMBERS], seed_of(seed, "window"))
            images, labels = cropped_batch(self.split, indices, size, self.window, self.rows.taken(draws), at_once)
        return tf.ensure_shape(images, [self.rows.count, *size]), tf.ensure_shape(
            labels, [self.rows.count, *self.split.label_shape]
        )


def seed_of(seed: tf.Tensor, part: str) -> tf.Tensor:
    """The seed of one augmentation of a batch, both int32 (2,)."""
    if part in SPLIT:
        return tf.random.experimental.stateless_split(seed, len(SPLIT))[SPLIT[part]]
    return tf.random.experimental.stateless_fold_in(seed, FOLDED[part])


def probabilities(labels: tf.Tensor, classes: int, smoothing: float = 0.0) -> tf.Tensor:
    """int32 labels (n,) to float32 (n, classes): (1 - smoothing) one-hot + smoothing / classes. Multi-label ones, uint8
    (n, classes), to (1 - smoothing) label + smoothing / 2: a class is there or not."""
    if labels.shape.rank == 2:
        return smoothed(tf.cast(labels, tf.float32), smoothing, outcomes=2)
    return smoothed(tf.one_hot(labels, classes, dtype=tf.float32), smoothing)


def smoothed(shares: tf.Tensor, smoothing: float, outcomes: int | None = None) -> tf.Tensor:
    """Distributions, float32 (n, classes), mixed with the uniform one: label smoothing. They are over the classes, or
    each number is the probability of one of so many `outcomes`."""
    return shares * (1 - smoothing) + smoothing / (outcomes or shares.shape[1]) if smoothing else shares


def colour_changes(augment: AugmentSpec, channels: int) -> dict[str, RandomChange]:
    """The augmentations of colours, 0..255, by name and in order. Raises ReskerasError for those of colour images alone
    where images are grey."""
    for field in ("hue", "lighting"):
        if getattr(augment, field) and channels != 3:
            raise ReskerasError(f"augment.{field}: needs colour images, but these have {counted(channels, 'channel')}")
    changes = {}
    if augment.colour or augment.hue:
        changes["colour"] = colour_jitter(augment.colour, channels, augment.hue)
    if augment.lighting:
        changes["lighting"] = lighting(augment.lighting)
    return changes


def _moves(augment: AugmentSpec, flips: bool, height: int, width: int) -> dict[str, RandomChange]:
    """The augmentations of normalised images, by name and in order. Raises ReskerasError for quarter turns of images
    that are not square."""
    changes = {}
    if augment.padding:
        changes["crop"] = random_crop(augment.padding)
    if flips:
        changes["flip"] = random_flip(axis=2)
    if augment.flip_rows:
        changes["flip_rows"] = random_flip(axis=1)
    if augment.rotate:
        if height != width and augment.rotate == 90:
            raise ReskerasError(
                f"augment.rotate: quarter turns need square images, but these are {height}x{width}; use 180, or an "
                "input_shape with equal sides"
            )
        changes["rotate"] = random_turn(augment.rotate)
    if augment.erase:
        changes["erase"] = erasing(augment.erase, height, width)
    return changes
