"""One training batch: images read, cropped, augmented, normalised and mixed, as a function of a seed."""

from __future__ import annotations

import tensorflow as tf

from reskeras.data.batches import ReadAhead, fitted_batch
from reskeras.data.layers import Change, colour_jitter, mixing
from reskeras.data.pixel_boxes import erase
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.rand_augment import OPERATIONS, rand_augment
from reskeras.data.shard_rows import Rows
from reskeras.data.source import Split
from reskeras.data.windows import NUMBERS, TRIES, cropped_batch, window_of
from reskeras.errors import ReskerasError
from reskeras.recipes.augment import AugmentSpec, RandAugmentSpec

# numbers folded into a batch's seed, so that the draws of different augmentations are independent
WINDOW, RAND_AUGMENT, COLOUR, LIGHTING, ERASE, MIX, FLIP_ROWS = range(2, 9)
# principal components of the colours of ImageNet's pixels (v1 section 3.4 takes them from AlexNet, section 4.1),
# on the 0..1 scale and with red first, as published with fb.resnet.torch
EIGENVALUES = (0.2175, 0.0188, 0.0045)
EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


class TrainingBatch:
    """Makes the rows of a batch from indices and a seed.

    Crops by window are made as images are read; rand_augment, colour and lighting then change pixels on the 0..255
    scale; padding, mirroring and erasing come after normalisation, so that they fill with the mean (v1 section
    4.2). Mixing is last. Labels are int32 (n,), or with `classes` float32 (n, classes): one-hot, smoothed
    as (1 - s) one-hot + s / classes, mixed. Mixing or smoothing without `classes` is a ValueError.

    `shard` (index, count): of each batch of `batch_size` images, or of the whole split where that is smaller, only
    every count-th run of rows. Raises ReskerasError (status 2) when a batch cannot be shared out evenly, or an
    augmentation cannot be done.
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
        classes: int | None = None,
        label_smoothing: float = 0.0,
    ):
        if classes is None and (augment.mixes or label_smoothing):
            raise ValueError("mixed or smoothed labels are probabilities: give the number of classes")
        if augment.scale:
            raise ReskerasError("augment.scale: only for detectors; use random_resized_crop or shorter_side")
        self.split, self.preprocessing, self.augment = split, preprocessing, augment
        self.rows = Rows.shard(min(batch_size, split.count), *shard)
        self.classes, self.label_smoothing = classes, label_smoothing
        self.read_ahead = ReadAhead.of(self.rows.count, preprocessing.size)
        height, width, channels = preprocessing.size
        self.window = window_of(augment, height, width)
        self.flips = mirror if augment.flip == "auto" else augment.flip
        self.pixels = pixel_changes(augment, channels)
        self.mix = mixing(augment.mixup, augment.cutmix) if augment.mixes else None

    @property
    def count(self) -> int:
        """How many images the split has."""
        return self.split.count

    def __call__(self, indices: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """int64 indices of this shard's rows and the global batch's seed, int32 (2,), to (images, labels)."""
        images, labels = self._read(indices, seed)
        if self.pixels:
            images = tf.cast(images, tf.float32)
        for part, change in self.pixels.items():
            images = change(images, _folded(seed, part), self.rows)
        images = self.preprocessing.normalise(images)
        images = augmented(images, self.augment.padding, self.flips, seed, self.rows)
        if self.augment.flip_rows:
            images = tf.where(coins(_folded(seed, FLIP_ROWS), self.rows), tf.reverse(images, axis=[1]), images)
        if self.augment.erase:
            images = erase(images, self.augment.erase, _folded(seed, ERASE), self.rows)
        if self.classes is None:
            return images, labels
        targets = probabilities(labels, self.classes, self.label_smoothing)
        # partners are of the same shard: each shard mixes its own rows, with a seed of its own
        own = _folded(_folded(seed, MIX), self.rows.first)
        return self.mix(images, targets, own) if self.mix else (images, targets)

    def _read(self, indices: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        size, at_once = self.preprocessing.size, self.read_ahead.images
        if self.window is None:
            images, labels = fitted_batch(self.split, indices, size, at_once=at_once)
        else:
            draws = tf.random.stateless_uniform([self.rows.of, TRIES, NUMBERS], _folded(seed, WINDOW))
            images, labels = cropped_batch(self.split, indices, size, self.window, self.rows.taken(draws), at_once)
        return tf.ensure_shape(images, [self.rows.count, *size]), tf.ensure_shape(labels, [self.rows.count])


def probabilities(labels: tf.Tensor, classes: int, smoothing: float = 0.0) -> tf.Tensor:
    """int32 labels (n,) to float32 (n, classes): (1 - smoothing) one-hot + smoothing / classes."""
    return smoothed(tf.one_hot(labels, classes, dtype=tf.float32), smoothing)


def smoothed(shares: tf.Tensor, smoothing: float) -> tf.Tensor:
    """Distributions over the classes, float32 (n, classes), mixed with the uniform one: label smoothing."""
    return shares * (1 - smoothing) + smoothing / shares.shape[1] if smoothing else shares


def augmented(images: tf.Tensor, pad: int, flips: bool, seed: tf.Tensor, rows: Rows | None = None) -> tf.Tensor:
    """A random crop of each zero-padded image, then with probability 1/2 its mirror image.

    `images` are normalised, so that the padding is the mean (v1 section 4.2); `seed` is int32 (2,).
    """
    height, width = images.shape[1], images.shape[2]
    rows = rows or Rows(0, images.shape[0], images.shape[0])
    seeds = tf.random.experimental.stateless_split(seed, 2)
    if pad:
        padded = tf.pad(images, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
        corners = rows.taken(tf.random.stateless_uniform([rows.of, 2], seeds[0], 0, 2 * pad + 1, tf.int32))
        down = corners[:, :1] + tf.range(height)
        along = corners[:, 1:] + tf.range(width)
        images = tf.gather(tf.gather(padded, down, batch_dims=1), along, axis=2, batch_dims=1)
    if flips:
        images = tf.where(coins(seeds[1], rows), tf.reverse(images, axis=[2]), images)
    return images


def coins(seed: tf.Tensor, rows: Rows) -> tf.Tensor:
    """True with probability 1/2 for each image, bool (n, 1, 1, 1)."""
    return rows.taken(tf.random.stateless_uniform([rows.of, 1, 1, 1], seed)) < 0.5


def pixel_changes(augment: AugmentSpec, channels: int) -> dict[int, Change]:
    """The augmentations on the 0..255 scale, in order, by the number that is folded into their seed."""
    changes: dict[int, Change] = {}
    if augment.rand_augment:
        changes[RAND_AUGMENT] = _random_operations(augment.rand_augment)
    if augment.colour:
        changes[COLOUR] = colour_jitter(augment.colour, channels)
    if augment.lighting:
        if channels != 3:
            raise ReskerasError(
                f"augment.lighting: needs colour images, but these have {channels} channel{'s' if channels > 1 else ''}"
            )
        changes[LIGHTING] = lambda images, seed, rows: lighting(images, augment.lighting, seed, rows)
    return changes


def lighting(images: tf.Tensor, deviation: float, seed: tf.Tensor, rows: Rows) -> tf.Tensor:
    """One shift for all pixels of an image, 0..255: each principal component of ImageNet's colours times its
    eigenvalue times a normal number of `deviation` (AlexNet, section 4.1). Not clipped, as there."""
    numbers = tf.random.stateless_normal([rows.of, 3], seed, stddev=deviation)
    scaled = tf.constant(EIGENVECTORS) * tf.constant(EIGENVALUES) * 255
    return images + rows.taken(tf.matmul(numbers, scaled, transpose_b=True))[:, tf.newaxis, tf.newaxis]


def _random_operations(spec: RandAugmentSpec) -> Change:
    def change(images: tf.Tensor, seed: tf.Tensor, rows: Rows) -> tf.Tensor:
        for turn in range(spec.operations):
            seeds = tf.random.experimental.stateless_split(_folded(seed, turn), 2)
            kinds = tf.random.stateless_uniform([rows.of], seeds[0], 0, len(OPERATIONS), tf.int32)
            signs = 2.0 * tf.cast(tf.random.stateless_uniform([rows.of], seeds[1]) < 0.5, tf.float32) - 1
            images = rand_augment(images, rows.taken(kinds), rows.taken(signs), spec.magnitude)
        return images

    return change


def _folded(seed: tf.Tensor, number: int) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(seed, number)
