"""Batches of images, read in parallel as cores and memory allow; failures name the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.data.broken import named_failures
from reskeras.data.decode import LARGEST_IMAGE, WHOLE, Framing, fit_image
from reskeras.data.source import Split
from reskeras.machine import cores, memory

DECODED = 6 * LARGEST_IMAGE  # bytes: three channels of the largest image, and as much again while it is resized
READERS = max(min(cores(), memory() // 2 // DECODED), 1)  # images that are decoded at the same time
SHARE, MOST = 8, 2 << 30  # batches being made take at most 1 / SHARE of the memory and MOST bytes, prefetched ones too
AHEAD = 4  # batches that are prefetched, where memory allows


@dataclass(frozen=True)
class Taken:
    """Bytes that each number of a batch takes while the batch is made, and when it is ready."""

    making: int
    ready: int


PIXELS = Taken(3, 1)  # uint8: the images one by one, together, and as they are handed over
FLOATS = Taken(12, 4)  # float32: its pixels as decoded, changed and normalised


@dataclass(frozen=True)
class ReadAhead:
    """`parallel` batches are made at once, decoding `images` images at once each; `ready` batches are prefetched."""

    parallel: int
    images: int
    ready: int

    @classmethod
    def of(
        cls,
        count: int,
        size: tuple[int, ...],
        taken: Taken = FLOATS,
        readers: int | None = None,
        room: int | None = None,
    ) -> ReadAhead:
        """For batches of `count` images of `size`, by `readers` and in `room` bytes (default: the process')."""
        readers, room = readers or READERS, room or min(memory() // SHARE, MOST)
        numbers = count * prod(size)
        parallel = max(min(room // (taken.making * numbers), readers), 1)
        return cls(parallel, -(-readers // parallel), max(min(room // (taken.ready * numbers), AHEAD), 1))


def pipeline_options() -> tf.data.Options:
    """Options of every pipeline: deterministic, and with explicit parallelism only."""
    options = tf.data.Options()
    # destroying an iterator waits for the autotuner's sleeping thread, up to as long as the pass itself
    options.autotune.enabled = False
    options.deterministic = True
    return options


# Keeps AutoGraph from rewriting what a pipeline maps, which takes seconds: nothing there branches on tensors in Python.
as_written = tf.autograph.experimental.do_not_convert


def fitted_batch(
    split: Split, indices: tf.Tensor, size: tuple[int, int, int], framing: Framing = WHOLE, at_once: int = READERS
) -> tuple[tf.Tensor, tf.Tensor]:
    """int64 indices (n,) to uint8 images (n, height, width, channels) of `size` and labels as `Split.label`
    gives them, in a graph that decodes `at_once` images at the same time."""

    def load(stored: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image, label = split.decode(stored)
        return fit_image(image, *size[:2], framing), label

    shapes = tf.TensorSpec(size, tf.uint8), split.label_spec
    return mapped(load, split.fetch(indices), shapes, at_once)


def mapped(load: Callable[[Any], Any], elements: Any, shapes: Any, at_once: int = READERS) -> Any:
    """`tf.map_fn` of `at_once` elements at the same time; by default it would hold ten decoded images a batch."""
    return tf.map_fn(
        load, elements, fn_output_signature=shapes, parallel_iterations=None if tf.executing_eagerly() else at_once
    )  # one by one, when eager


@dataclass(frozen=True)
class Batches:
    """Batches of `size` images of `split`, those at `indices` (int64) in this order, by `dataset`.

    In Python, iterate over the batches and not over the dataset: an image that cannot be read is then a ReskerasError
    (status 1) that names it.
    """

    dataset: tf.data.Dataset
    split: Split
    indices: Sequence[int] | np.ndarray
    size: int

    def __iter__(self) -> Iterator[Any]:
        """One pass."""
        return named_failures(self.dataset, self.split, self.indices, self.size)


def fitted(
    split: Split,
    indices: Sequence[int] | np.ndarray,
    size: tuple[int, int, int],
    batch_size: int,
    framing: Framing = WHOLE,
) -> Batches:
    """Batches (uint8 images of `size`, int32 labels) of the images at `indices`, in this order; all are used."""
    read_ahead = ReadAhead.of(batch_size, size, PIXELS)
    return read_batches(
        split,
        indices,
        batch_size,
        read_ahead.parallel,
        lambda batch: fitted_batch(split, batch, size, framing, read_ahead.images),
    )


def read_batches(
    split: Split, indices: Sequence[int] | np.ndarray, batch_size: int, parallel: int, load: Callable[[tf.Tensor], Any]
) -> Batches:
    """`load` of int64 indices (batch_size,), in order; the last batch may be smaller."""
    every = (
        tf.data.Dataset.range(indices.start, indices.stop)
        if isinstance(indices, range)
        else tf.data.Dataset.from_tensor_slices(np.asarray(indices, np.int64))
    )
    dataset = every.batch(batch_size).map(as_written(load), num_parallel_calls=parallel, deterministic=True)
    return Batches(dataset.with_options(pipeline_options()), split, indices, batch_size)


def examples(split: Split, indices: Sequence[int] | np.ndarray | None = None) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """Images as stored, uint8 (h, w, channels), with their labels, one by one: those at `indices`, or all. One that
    cannot be read is a ReskerasError (status 1) that names it."""
    indices = range(split.count) if indices is None else indices
    return named_failures((split.example(tf.constant(index, tf.int64)) for index in indices), split, indices, 1)
