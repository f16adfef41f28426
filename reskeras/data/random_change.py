"""Random changes of images in two halves: numbers drawn where batches are made, and what they do to pixels, which the
device that trains computes. With them crops of padded images, flips and AlexNet's shift of colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from reskeras.data.shard_rows import Rows

ALTERNATING = 0xF11B  # with the training's seed, the seed of where images begin to alternate
# principal components of the colours of ImageNet's pixels (v1 section 3.4 takes them from AlexNet, section 4.1),
# on the 0..1 scale and with red first, as published with fb.resnet.torch
EIGENVALUES = (0.2175, 0.0188, 0.0045)
EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


@dataclass(frozen=True)
class RandomChange:
    """A change of images (n, height, width, channels), float32.

    `draw` takes a seed, int32 (2,), and the rows of a global batch, and gives tensors with an entry for each row, so
    that they are divided among replicas as the images are. `apply` takes images and these: it draws nothing, so that
    it computes the same on any device, compiled or not.
    """

    draw: Callable[[tf.Tensor, Rows], Any]
    apply: Callable[[tf.Tensor, Any], tf.Tensor]

    def __call__(self, images: tf.Tensor, seed: tf.Tensor, rows: Rows) -> tf.Tensor:
        """Both halves."""
        return self.apply(images, self.draw(seed, rows))


def by_seeds(apply: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> RandomChange:
    """A change that draws by itself, with a seed for each image, int32 (n, 2), as stateless random functions take, and
    keeps the shape of the images, even if TensorFlow does not know that."""

    def seeds(seed: tf.Tensor, rows: Rows) -> tf.Tensor:
        return rows.taken(tf.random.stateless_uniform([rows.of, 2], seed, None, None, tf.int32))

    def applied(images: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(apply(images, seeds), images.shape)

    return RandomChange(seeds, applied)


def random_crop(pad: int) -> RandomChange:
    """A random crop, of the image's size, of each image padded by `pad` pixels of 0: of normalised images the mean (v1
    section 4.2)."""

    def corners(seed: tf.Tensor, rows: Rows) -> tf.Tensor:
        return rows.taken(tf.random.stateless_uniform([rows.of, 2], seed, 0, 2 * pad + 1, tf.int32))

    def cropped(images: tf.Tensor, corners: tf.Tensor) -> tf.Tensor:
        _, height, width, _ = images.shape
        padded = tf.pad(images, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
        down, along = corners[:, :1] + tf.range(height), corners[:, 1:] + tf.range(width)
        return tf.gather(tf.gather(padded, down, batch_dims=1), along, axis=2, batch_dims=1)

    return RandomChange(corners, cropped)


def random_flip(axis: int) -> RandomChange:
    """With probability 1/2 the image reversed along `axis`: 1 upside down, 2 its mirror image."""

    def flipped(images: tf.Tensor, coins: tf.Tensor) -> tf.Tensor:
        return tf.where(coins, tf.reverse(images, axis=[axis]), images)

    return RandomChange(coins, flipped)


def quarter_turns(step: int, each: int = 1) -> Callable[[tf.Tensor, Rows], tf.Tensor]:
    """Maps a seed and rows to `each` random numbers of counter-clockwise quarter turns for every row, int32 (n, each):
    multiples of `step` degrees, 90 or 180, below 360."""

    def drawn(seed: tf.Tensor, rows: Rows) -> tf.Tensor:
        return rows.taken(tf.random.stateless_uniform([rows.of, each], seed, 0, 360 // step, tf.int32) * (step // 90))

    return drawn


def turned(image: tf.Tensor, quarters: tf.Tensor) -> tf.Tensor:
    """An image (height, width, channels) after `quarters` counter-clockwise quarter turns, a scalar from 0 to 3."""
    across = tf.cond(quarters % 2 == 1, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    upside_down = tf.cond((quarters == 1) | (quarters == 2), lambda: tf.reverse(across, [0]), lambda: across)
    return tf.cond(quarters >= 2, lambda: tf.reverse(upside_down, [1]), lambda: upside_down)


def random_turn(step: int) -> RandomChange:
    """Images, each turned by a random multiple of `step` degrees, 90 for square ones or 180."""

    def applied(images: tf.Tensor, quarters: tf.Tensor) -> tf.Tensor:
        quarters = tf.reshape(quarters, [-1, 1, 1, 1])
        if step == 90:
            images = tf.where(quarters % 2 == 1, tf.transpose(images, [0, 2, 1, 3]), images)
        images = tf.where((quarters == 1) | (quarters == 2), tf.reverse(images, [1]), images)
        return tf.where(quarters >= 2, tf.reverse(images, [2]), images)

    return RandomChange(quarter_turns(step), applied)


def coins(seed: tf.Tensor, rows: Rows) -> tf.Tensor:
    """True with probability 1/2 for each image, bool (n, 1, 1, 1)."""
    return rows.taken(tf.random.stateless_uniform([rows.of, 1, 1, 1], seed)) < 0.5


def log_uniform(draws: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Uniform numbers in 0..1 made log-uniform in low..high: of 0.5 to 2 halved as often as doubled."""
    return tf.exp(tf.math.log(low) + draws * (tf.math.log(high) - tf.math.log(low)))


def alternating(count: int, seed: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Maps int64 indices (n,) of `count` images and an epoch to which of them it mirrors, bool (n, 1, 1, 1): each in
    every other epoch, from the first or the second on by the seed and the image alone (arXiv:2404.00498, section 3.6).
    """
    with tf.device("cpu"):
        first = tf.random.stateless_uniform([count], tf.constant([seed, ALTERNATING], tf.int32)) < 0.5

    def mirrored(indices: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        odd = tf.equal(tf.cast(epoch, tf.int32) % 2, 1)
        return tf.reshape(tf.math.logical_xor(tf.gather(first, indices), odd), [-1, 1, 1, 1])

    return mirrored


def lighting(deviation: float) -> RandomChange:
    """One shift for all pixels of an image, 0..255: each principal component of ImageNet's colours times its
    eigenvalue times a normal number of `deviation` (AlexNet, section 4.1). Not clipped, as there."""

    def shifts(seed: tf.Tensor, rows: Rows) -> tf.Tensor:
        numbers = tf.random.stateless_normal([rows.of, 3], seed, stddev=deviation)
        scaled = tf.constant(EIGENVECTORS) * tf.constant(EIGENVALUES) * 255
        return rows.taken(tf.matmul(numbers, scaled, transpose_b=True))

    return RandomChange(shifts, lambda images, shifts: images + shifts[:, tf.newaxis, tf.newaxis])
