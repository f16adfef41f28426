"""tf.data pipelines: all epochs in one dataset, shuffled and augmented by (seed, epoch, step) alone.

From an image to a batch: `registry.open_source` opens a source by its reader (`readers.py`), such as
`folder.open_folder`, whose splits read by index; `training_batches` here draws the indices of an epoch;
`training_batch.TrainingBatch` reads them (`batches.fitted_batch`, `windows.cropped_batch`, `decode.decode`), augments,
normalises and mixes; `tasks/*/feed.py` adds what a task learns from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from reskeras.data.batches import Batches, ReadAhead, as_written, fitted, fitted_batch, pipeline_options
from reskeras.data.broken import first_broken
from reskeras.data.epoch_order import EpochOrder
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.shard_rows import Rows
from reskeras.data.source import Split
from reskeras.data.training_batch import probabilities

__all__ = ["evaluation_batches", "evaluation_images", "first_broken_in_training", "training_batches"]

SAMPLED = 32  # images of a sample that are read at once


class BatchLoader(Protocol):
    """Makes one shard's `rows` of a training batch; there are `count` images."""

    rows: Rows
    read_ahead: ReadAhead

    @property
    def count(self) -> int:
        """How many images there are."""
        ...

    def __call__(self, indices: tf.Tensor, seed: tf.Tensor, epoch: tf.Tensor, *more: tf.Tensor) -> Any:
        """int64 indices of the rows, the batch's own seed, int32 (2,), and its epoch, int32, to the batch's rows;
        `more` is what else the order of the epochs has of the batch: of what belongs to images that of the rows."""
        ...


def training_batches(
    loader: BatchLoader, seed: int, epochs: range, start_step: int = 0, order: EpochOrder | None = None
) -> tf.data.Dataset:
    """The batches of every epoch of `epochs`, in one dataset, from step `start_step` of the first epoch on.

    They are a function of (seed, epoch, step): the order of an epoch as well as all augmentation. Steps before
    `start_step` are skipped before anything is decoded. `order` is by default that of all the loader's images.

    Of each batch only the loader's rows are read and decoded. The shards' batches one after the other equal the whole
    batch, bit for bit, except where images are mixed: an image's partner is one of its own shard.
    """
    rows, read_ahead = loader.rows, loader.read_ahead
    order = order or EpochOrder(loader.count, rows.of)

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        skipped = tf.where(tf.equal(epoch, epochs.start), start_step, 0)
        places = tf.range(skipped, order.steps, dtype=tf.int32) * rows.of
        batches, *more = (
            each[skipped:, rows.first : rows.last] if each.shape.rank > 1 else each[skipped:]
            for each in order.batches(_fold(seed, epoch))
        )
        return tf.data.Dataset.from_tensor_slices((batches, tf.fill(tf.shape(places), epoch), places, *more))

    def loaded(indices: tf.Tensor, epoch: tf.Tensor, place: tf.Tensor, *more: tf.Tensor) -> Any:
        return loader(indices, tf.random.experimental.stateless_fold_in(_fold(seed, epoch), place), epoch, *more)

    dataset = tf.data.Dataset.range(epochs.start, epochs.stop, output_type=tf.int32).flat_map(as_written(epoch_batches))
    dataset = dataset.map(as_written(loaded), num_parallel_calls=read_ahead.parallel, deterministic=True)
    return dataset.prefetch(read_ahead.ready).with_options(pipeline_options())


def ordered_batches(
    load: Callable[[tf.Tensor, tf.Tensor], Any], count: int, rows: Rows, read_ahead: ReadAhead
) -> tf.data.Dataset:
    """`load` of each batch of `count` images in order, padded with the last image: `load` takes int64
    indices of this shard's `rows`, and their weights, float32: 0 where it was filled up."""
    dataset = tf.data.Dataset.from_tensor_slices(_ordered(count, rows))
    dataset = dataset.map(as_written(load), num_parallel_calls=read_ahead.parallel, deterministic=True)
    return dataset.prefetch(read_ahead.ready).with_options(pipeline_options())


def _ordered(count: int, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Indices int64 and weights float32 (batches, rows.count) as `ordered_batches` has them."""
    steps = -(-count // rows.of)
    places = np.arange(steps * rows.of).reshape(steps, rows.of)[:, rows.first : rows.last]
    return np.minimum(places, count - 1), (places < count).astype(np.float32)


def evaluation_batches(
    split: Split,
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    classes: int | None = None,
    shard: tuple[int, int] | None = None,
) -> Batches:
    """Batches (float32 images, int32 labels) of every image once, in order; the last may be smaller.

    With `classes` labels are one-hot, float32 (n, classes). With `shard` (index, count) batches are (images,
    labels, float32 weights (n,)), each of batch_size / count rows and as many for every shard: the split is filled
    up with its last image, at weight 0. Raises ReskerasError when count does not divide batch_size.
    """

    def finished(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return preprocessing.normalise(images), labels if classes is None else probabilities(labels, classes)

    if shard is None:
        batches = fitted(split, range(split.count), preprocessing.size, batch_size, preprocessing.framing)
        ready = ReadAhead.of(batch_size, preprocessing.size).ready
        return replace(batches, dataset=batches.dataset.map(as_written(finished)).prefetch(ready))

    rows = Rows.shard(batch_size, *shard)
    read_ahead = ReadAhead.of(rows.count, preprocessing.size)

    def load(indices: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        images = fitted_batch(split, indices, preprocessing.size, preprocessing.framing, read_ahead.images)
        return *finished(*images), weights

    dataset = ordered_batches(load, split.count, rows, read_ahead)
    return Batches(dataset, split, _ordered(split.count, rows)[0].ravel(), rows.count)


def evaluation_images(split: Split, preprocessing: Preprocessing, count: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `count` evenly spaced images, uint8 at the network's size and not normalised, with labels."""
    indices = np.unique(np.linspace(0, split.count - 1, min(count, split.count)).astype(np.int64))
    images = np.empty((len(indices), *preprocessing.size), np.uint8)
    labels = np.empty((len(indices), *split.label_shape), split.label_spec.dtype.as_numpy_dtype)
    batches = fitted(split, indices, preprocessing.size, SAMPLED, preprocessing.framing)
    for place, (pixels, classes) in zip(range(0, len(indices), SAMPLED), batches, strict=True):
        images[place : place + SAMPLED], labels[place : place + SAMPLED] = pixels, classes
    return images, labels


def first_broken_in_training(
    train: Split, watched: Split, seed: int, epoch: int, step: int, order: EpochOrder
) -> str | None:
    """Where the broken image is stored that ended a training after `step` steps of `epoch`, as `first_broken`; searched
    for in the `order` in which the training reads."""
    batches = order.batches(_fold(seed, tf.constant(epoch)))[0].numpy()
    if step < len(batches):
        return first_broken(train, batches[step:].ravel())
    return first_broken(watched, range(watched.count)) or first_broken(train, batches.ravel())


def _fold(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """A seed for one epoch that no other (seed, epoch) has: seeds do not share shuffles."""
    return tf.random.experimental.stateless_fold_in(tf.constant([seed, 0x5EED], tf.int32), epoch)
