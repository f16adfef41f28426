"""tf.data pipelines: all epochs in one dataset, shuffled and augmented by (seed, epoch, step) alone."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from reskeras.data.decode import READERS, fitted, fitted_batch, pipeline_options
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Split
from reskeras.spec.recipe import AugmentSpec

AHEAD = 4  # batches prepared before they are asked for


def steps_per_epoch(split: Split, batch_size: int) -> int:
    """Full batches in an epoch; a split smaller than a batch is one batch."""
    return max(split.count // batch_size, 1)


def training_batches(
    split: Split, preprocessing: Preprocessing, *, batch_size: int, seed: int, epochs: int,
    augment: AugmentSpec, mirror: bool, start_epoch: int = 0, start_step: int = 0,
    classes: int | None = None, label_smoothing: float = 0.0, shard: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Batches (float32 images, int32 labels) of every epoch from `start_epoch` on, in one dataset.

    What comes out is a function of (seed, epoch, step): the order of an epoch, its crops and its flips.
    Starting at `start_step` skips indices before anything is decoded. The rest of an epoch that does not
    fill a batch is left out.
    """
    batch_size, steps = min(batch_size, split.count), steps_per_epoch(split, batch_size)
    flips = mirror if augment.flip == "auto" else augment.flip

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.cast(_order(split.count, _fold(seed, epoch))[: steps * batch_size], tf.int64)
        skipped = tf.where(tf.equal(epoch, start_epoch), start_step, 0)
        places = tf.range(skipped, steps, dtype=tf.int32) * batch_size
        batches = tf.reshape(order, [steps, batch_size])[skipped:]
        return tf.data.Dataset.from_tensor_slices((batches, tf.fill(tf.shape(places), epoch), places))

    def load(indices: tf.Tensor, epoch: tf.Tensor, place: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = fitted_batch(split, indices, preprocessing.size)
        batch_seed = tf.random.experimental.stateless_fold_in(_fold(seed, epoch), place)
        images = augmented(preprocessing.normalise(images), augment.pad_crop, flips, batch_seed)
        if classes:
            labels = tf.one_hot(labels, classes) * (1 - label_smoothing) + label_smoothing / classes
        a, b = shard[0] * batch_size // shard[1], (shard[0] + 1) * batch_size // shard[1]
        return images[a:b], labels[a:b]

    dataset = tf.data.Dataset.range(start_epoch, epochs, output_type=tf.int32).flat_map(epoch_batches)
    dataset = dataset.map(load, num_parallel_calls=READERS, deterministic=True)
    return dataset.prefetch(AHEAD).with_options(pipeline_options())


def evaluation_batches(split: Split, preprocessing: Preprocessing, batch_size: int, *, classes=None, shard=None) -> tf.data.Dataset:
    """Batches (float32 images, int32 labels) of every image once, in order; the last may be smaller."""
    if shard:
        n = -(-split.count // batch_size) * batch_size
        idx = tf.data.Dataset.range(n)
        dataset = fitted(idx.map(lambda i: tf.minimum(i, split.count - 1)), split, preprocessing.size, batch_size)
        k = batch_size // shard[1]
        dataset = dataset.enumerate().map(lambda j, e: (preprocessing.normalise(e[0]), tf.one_hot(e[1], classes) if classes else e[1], tf.cast(j * batch_size + tf.range(batch_size, dtype=tf.int64) < split.count, tf.float32)))
        return dataset.map(lambda *e: tuple(x[shard[0] * k:(shard[0] + 1) * k] for x in e)).prefetch(AHEAD)
    dataset = fitted(tf.data.Dataset.range(split.count), split, preprocessing.size, batch_size)
    dataset = dataset.map(lambda images, labels: (preprocessing.normalise(images), tf.one_hot(labels, classes) if classes else labels))
    return dataset.prefetch(AHEAD)


def evaluation_images(split: Split, preprocessing: Preprocessing, count: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `count` evenly spaced images, uint8 at the network's size and not normalised, with labels."""
    indices = np.unique(np.linspace(0, split.count - 1, min(count, split.count)).astype(np.int64))
    dataset = fitted(tf.data.Dataset.from_tensor_slices(indices), split, preprocessing.size, len(indices))
    images, labels = next(iter(dataset))
    return images.numpy(), labels.numpy()


def augmented(images: tf.Tensor, pad: int, flips: bool, seed: tf.Tensor) -> tf.Tensor:
    """A random crop of each zero-padded image, then with probability 1/2 its mirror image.

    `images` are normalised, so that the padding is the mean (v1 section 4.2); `seed` is int32 (2,).
    """
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    seeds = tf.random.experimental.stateless_split(seed, 2)
    if pad:
        padded = tf.pad(images, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
        corners = tf.random.stateless_uniform([count, 2], seeds[0], 0, 2 * pad + 1, tf.int32)
        rows = corners[:, :1] + tf.range(height)
        columns = corners[:, 1:] + tf.range(width)
        images = tf.gather(tf.gather(padded, rows, batch_dims=1), columns, axis=2, batch_dims=1)
    if flips:
        mirrored = tf.random.stateless_uniform([count, 1, 1, 1], seeds[1]) < 0.5
        images = tf.where(mirrored, tf.reverse(images, axis=[2]), images)
    return images


def _fold(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """A seed for one epoch that no other (seed, epoch) has: seeds do not share shuffles."""
    return tf.random.experimental.stateless_fold_in(tf.constant([seed, 0x5EED], tf.int32), epoch)


def _order(count: int, seed: tf.Tensor) -> tf.Tensor:
    """A permutation of 0..count-1 that depends on `seed` alone."""
    return tf.argsort(tf.random.stateless_uniform([count], seed, maxval=None, minval=None, dtype=tf.int64), stable=True)
