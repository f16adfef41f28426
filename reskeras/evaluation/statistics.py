"""Recalibration of batch norm: exact statistics over training images instead of the moving averages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import prod
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from reskeras.data.pipeline import evaluation_batches
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Split
from reskeras.errors import ReskerasError
from reskeras.graph.layers import CountedDropout, FusedBatchNormalization
from reskeras.graph.weights import leaves
from reskeras.machine import memory

SHARE = 4  # images are held for all passes where they take at most 1 / SHARE of the memory


def recalibrate(
    model: keras.Model,
    split: Split,
    preprocessing: Preprocessing,
    images: int,
    batch_size: int = 128,
    in_turn: bool = False,
) -> int:
    """Set the moving statistics of every batch norm of `model` to those over `images` evenly spaced images.

    Each layer's input is computed as in training, normalised by the batch; mean and variance are over all images: the
    mean of the batches' variances plus the variance of their means. With `in_turn` it is computed by the statistics
    that were measured before, one layer after the other, in a pass over the images each: they are then exactly those
    of what the layer gets when all are frozen, whatever the batches. Dropout is off. Returns the number of images used,
    in whole batches. Raises ReskerasError for `images` below 1 and for networks without batch norm.
    """
    if not images >= 1:
        raise ReskerasError(f"recalibrate: {images}: should be at least 1")
    layers = list(leaves(model))
    norms = [layer for layer in layers if isinstance(layer, FusedBatchNormalization)]
    if not norms:
        raise ReskerasError("recalibrate: this network has no batch norm")
    count = min(images, split.count)
    batch_size = min(batch_size, count)
    count -= count % batch_size
    chosen = split.part(split.name, np.unique(np.linspace(0, split.count - 1, count).astype(np.int64)))
    batches: Iterable[Any] = evaluation_batches(chosen, preprocessing, batch_size)
    if in_turn and 4 * count * prod(preprocessing.size) <= memory() // SHARE:
        batches = list(batches)
    momenta = [(norm.momentum, norm.trainable) for norm in norms]
    rates = {layer: layer.rate for layer in layers if isinstance(layer, CountedDropout)}
    try:
        for norm in norms:
            norm.momentum = 0.0  # makes the moving statistics those of the last batch
        for layer in rates:
            layer.rate = 0.0
        for measured in [[norm] for norm in norms] if in_turn else [norms]:
            for norm in norms:
                norm.trainable = norm in measured  # the others normalise by their moving statistics
            # a graph for each layer would take longer than it saves
            step = partial(model, training=True) if in_turn else tf.function(lambda batch: model(batch, training=True))
            _measure(measured, step, batches)
    finally:
        for norm, (momentum, trainable) in zip(norms, momenta, strict=True):
            norm.momentum, norm.trainable = momentum, trainable
        for layer, rate in rates.items():
            layer.rate = rate
    return count


def _measure(
    norms: Sequence[FusedBatchNormalization], step: Callable[[tf.Tensor], tf.Tensor], batches: Iterable[Any]
) -> None:
    """Set the moving statistics of `norms`, which a `step` makes those of a batch, to those of all `batches`, which are
    of equal size."""
    sums, count = [np.zeros((2, norm.moving_mean.shape[0])) for norm in norms], 0
    for batch, _ in batches:
        step(batch)
        count += 1
        for norm, total in zip(norms, sums, strict=True):
            mean, variance = norm.moving_mean.numpy().astype(np.float64), norm.moving_variance.numpy()
            total += np.stack([mean, variance + np.square(mean)])
    for norm, total in zip(norms, sums, strict=True):
        mean, square = total / count
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(np.maximum(square - np.square(mean), 0.0))
