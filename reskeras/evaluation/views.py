"""Test-time views of an image: a centre crop, it and its mirror image, both shifted too (arXiv:2404.00498), ten crops,
or the whole image at several scales (v1 section 3.4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from reskeras.data.batches import examples, fitted
from reskeras.data.pipeline import evaluation_batches
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.resample import resampled
from reskeras.data.source import Split
from reskeras.errors import ReskerasError
from reskeras.evaluation.dense import DenseNetwork
from reskeras.evaluation.heads import SOFTMAX, Head, log_of
from reskeras.graph.spread import inference_devices, spread

SMALL = 64  # pixels; smaller images are padded for ten crops instead of being upsampled
PADDING = 4  # as in training (v1 section 4.2)
LARGEST_SCALE = 4096
# how much each view counts, of `mirrored_and_shifted`
SHARES = {2: (1 / 2, 1 / 2), 6: (1 / 4, 1 / 8, 1 / 8, 1 / 4, 1 / 8, 1 / 8)}
CROPS = (1, *SHARES, 10)

Scored = Iterator[tuple[np.ndarray, np.ndarray]]  # log probabilities (n, classes) float64, labels as in Split


@dataclass(frozen=True)
class Views:
    """crops: 1, 2 (and mirrored), 6 (and shifted by a pixel) or 10. resize: side of the square that ten crops are cut
    from. scales: shorter sides of whole images."""

    crops: int = 1
    resize: int | None = None
    scales: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse contradictory options."""
        if self.crops not in CROPS:
            raise ReskerasError(f"views: {self.crops} is not one of {', '.join(map(str, CROPS))}")
        if self.scales and (self.crops > 1 or self.resize):
            raise ReskerasError("scales: whole images are not cropped; leave out --views and --resize")
        if self.resize and self.crops != 10:
            raise ReskerasError("resize: only applies to ten crops; add --views 10")
        for scale in self.scales:
            if not 1 <= scale <= LARGEST_SCALE:
                raise ReskerasError(f"scales: {scale}: should be between 1 and {LARGEST_SCALE:,}")

    def describe(self) -> str:
        """The views in words."""
        if self.scales:
            return f"whole images and mirror images, shorter side {' '.join(map(str, self.scales))}"
        return "single view" if self.crops == 1 else f"{self.crops} views"


def scored(
    model: keras.Model,
    split: Split,
    preprocessing: Preprocessing,
    views: Views,
    dense: DenseNetwork | None,
    batch_size: int,
    head: Head = SOFTMAX,
) -> Scored:
    """Log probabilities, by `head`, and labels of every image of `split`, in order; several views' probabilities are
    averaged."""
    if views.scales:
        if dense is None:
            raise ValueError("scales: whole images need a DenseNetwork")
        yield from _whole(split, preprocessing, views.scales, dense)
    elif views.crops == 10:
        yield from _ten_crops(model, split, preprocessing, views.resize, max(batch_size // 10, 1), head)
    elif views.crops in SHARES:
        yield from _shared(model, split, preprocessing, views.crops, max(batch_size // views.crops, 1), head)
    else:
        devices = inference_devices()
        predict = forward(model, devices)
        for images, labels in evaluation_batches(split, preprocessing, batch_size * max(len(devices), 1)):
            yield head.logarithms(predict(images).numpy()), labels.numpy()


def forward(model: keras.Model, devices: Sequence[str] = ()) -> tf.types.experimental.PolymorphicFunction:
    """`model` in inference as a graph function, traced once for any batch size; batches are shared out to `devices`."""
    signature = [tf.TensorSpec([None, *model.inputs[0].shape[1:]], tf.float32)]
    return tf.function(spread(lambda images: model(images, training=False), devices), input_signature=signature)


def ten_crops(images: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """(n, H, W, c) to (n, 10, height, width, c): four corners and centre, then the mirror images of these five."""
    down, right = images.shape[1] - height, images.shape[2] - width
    corners = ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2))
    crops = [images[:, top : top + height, left : left + width] for top, left in corners]
    return tf.stack([*crops, *(crop[:, :, ::-1] for crop in crops)], axis=1)


def mirrored_and_shifted(images: tf.Tensor, views: int) -> tf.Tensor:
    """(n, height, width, c) to (n, views, height, width, c): the images, with six views also up and left and down and
    right by a pixel, the edge reflected; then the mirror images of these."""
    _, height, width, _ = images.shape
    plain = [images]
    if views == 6:
        padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT")
        plain += [padded[:, :height, :width], padded[:, 2:, 2:]]
    return tf.stack([*plain, *(view[:, :, ::-1] for view in plain)], axis=1)


def _shared(
    model: keras.Model, split: Split, preprocessing: Preprocessing, views: int, batch_size: int, head: Head
) -> Scored:
    if min(preprocessing.size[:2]) < 2:
        raise ReskerasError("views: an image of a single pixel cannot be shifted or mirrored; leave out --views")
    shares = tf.constant(SHARES[views])

    def probabilities_of(images: tf.Tensor) -> tf.Tensor:
        several = tf.reshape(mirrored_and_shifted(images, views), [-1, *preprocessing.size])
        probabilities = head.probabilities(model(several, training=False))
        probabilities = tf.reshape(probabilities, [-1, views, probabilities.shape[-1]])
        return tf.tensordot(probabilities, shares, [[1], [0]])

    devices = inference_devices()
    predict = tf.function(spread(probabilities_of, devices))
    for images, labels in evaluation_batches(split, preprocessing, batch_size * max(len(devices), 1)):
        yield log_of(predict(images).numpy()), labels.numpy()


def _ten_crops(
    model: keras.Model, split: Split, preprocessing: Preprocessing, resize: int | None, batch_size: int, head: Head
) -> Scored:
    height, width, channels = preprocessing.size
    pad = PADDING if resize is None and max(height, width) < SMALL else 0
    square = resize or (max(height, width) if pad else round(max(height, width) * 256 / 224))
    if square < max(height, width):
        raise ReskerasError(f"resize: {square} is smaller than the network's input of {height}x{width}")
    size = (height, width, channels) if pad else (square, square, channels)

    def probabilities_of(images: tf.Tensor) -> tf.Tensor:
        if pad:  # normalised first, so that the padding is the mean
            images = tf.pad(preprocessing.normalise(images), [[0, 0], [pad, pad], [pad, pad], [0, 0]])
        crops = ten_crops(images, height, width)
        crops = tf.reshape(crops if pad else preprocessing.normalise(crops), [-1, height, width, channels])
        probabilities = head.probabilities(model(crops, training=False))
        return tf.reduce_mean(tf.reshape(probabilities, [-1, 10, probabilities.shape[-1]]), axis=1)

    devices = inference_devices()
    predict = tf.function(spread(probabilities_of, devices))
    for images, labels in fitted(split, range(split.count), size, batch_size * max(len(devices), 1)):
        yield log_of(predict(images).numpy()), labels.numpy()


def _whole(split: Split, preprocessing: Preprocessing, scales: tuple[int, ...], network: DenseNetwork) -> Scored:
    if preprocessing.kind == "per_pixel_mean":  # at other sizes there are other pixels: the mean of each channel
        preprocessing = replace(preprocessing, kind="per_channel", mean=preprocessing.mean.mean(axis=(0, 1)))
    for image, label in examples(split):  # each image has a shape of its own
        total: Any = 0.0  # then float32 (classes,)
        for scale in scales:
            resized = shorter_side(tf.cast(image, tf.float32), scale)
            both = tf.stack([resized, resized[:, ::-1]])
            total = total + network.probabilities(preprocessing.normalise(both)).numpy().mean(axis=0)
        yield log_of(total[None] / len(scales)), label.numpy()[None]


def shorter_side(image: tf.Tensor, size: int) -> tf.Tensor:
    """float32 (h, w, c) resized so that its shorter side is `size`, rounded to integers like stored images."""
    height, width = image.shape[0], image.shape[1]
    scale = size / min(height, width)
    shape = [max(round(side * scale), size) for side in (height, width)]
    if shape[0] * shape[1] > LARGEST_SCALE**2:
        raise ReskerasError(f"scales: {size} would resize a {height}x{width} image to {shape[0]}x{shape[1]} pixels")
    if shape == [height, width]:
        return image
    return tf.clip_by_value(tf.round(resampled(image, tuple(shape))), 0.0, 255.0)
