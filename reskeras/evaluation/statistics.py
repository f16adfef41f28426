"""Recalibration of batch norm: exact statistics over training images instead of the moving averages."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from reskeras.data.pipeline import evaluation_batches
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Split
from reskeras.errors import ReskerasError
from reskeras.graph.layers import CountedDropout, FusedBatchNormalization
from reskeras.graph.weights import leaves


def recalibrate(
    model: keras.Model, split: Split, preprocessing: Preprocessing, images: int, batch_size: int = 128
) -> int:
    """Set the moving statistics of every batch norm of `model` to those over `images` evenly spaced images.

    Each layer's input is computed as in training, normalised by the batch; mean and variance are over all images: the
    mean of the batches' variances plus the variance of their means. Dropout is off. Returns the number of images used,
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
    momenta = [norm.momentum for norm in norms]
    rates = {layer: layer.rate for layer in layers if isinstance(layer, CountedDropout)}
    sums = [np.zeros((2, norm.moving_mean.shape[0])) for norm in norms]
    try:
        for norm in norms:
            norm.momentum = 0.0  # makes the moving statistics those of the last batch
        for layer in rates:
            layer.rate = 0.0
        step = tf.function(lambda batch: model(batch, training=True))
        for batch, _ in evaluation_batches(chosen, preprocessing, batch_size):
            step(batch)
            for norm, total in zip(norms, sums, strict=True):
                mean, variance = norm.moving_mean.numpy().astype(np.float64), norm.moving_variance.numpy()
                total += np.stack([mean, variance + np.square(mean)])
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for layer, rate in rates.items():
            layer.rate = rate
    for norm, total in zip(norms, sums, strict=True):
        mean, square = total / (count // batch_size)
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(np.maximum(square - np.square(mean), 0.0))
    return count
