"""Bytes to images, and images of any size to the network's: the same in training, evaluation and prediction."""

from __future__ import annotations

import os
from pathlib import Path

import tensorflow as tf
from PIL import Image

from reskeras.data.source import Split
from reskeras.errors import ReskerasError, failure

LARGEST_IMAGE = 64_000_000  # pixels; a decoded image of this size takes 192 MB
READERS = os.cpu_count() or 1


def decode(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Bytes of a JPEG, PNG, BMP or GIF (its first frame) to uint8 (height, width, channels)."""
    image = tf.io.decode_image(data, channels=3, expand_animations=False)
    if channels == 1:
        image = image[..., :1]  # a grey image decodes to three equal channels
    return tf.ensure_shape(image, [None, None, channels])


def fit_image(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """uint8 (h, w, channels) to uint8 (height, width, channels): resized until it covers, centre cropped.

    Bilinear with antialiasing; the same in training, evaluation, prediction and export. An image of the
    right size passes unchanged.
    """
    channels = image.shape[-1]
    shape = tf.shape(image)
    fitting = tf.logical_and(tf.equal(shape[0], height), tf.equal(shape[1], width))
    fitted = tf.cond(fitting, lambda: image, lambda: _cover(image, height, width))
    return tf.ensure_shape(fitted, [height, width, channels])


def _cover(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    size = tf.cast(tf.shape(image)[:2], tf.float64)
    wanted = tf.constant([height, width], tf.float64)
    scaled = tf.maximum(tf.cast(tf.round(size * tf.reduce_max(wanted / size)), tf.int32), [height, width])
    resized = tf.image.resize(image, scaled, antialias=True)
    top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    cropped = resized[top : top + height, left : left + width]
    return tf.cast(tf.clip_by_value(tf.round(cropped), 0.0, 255.0), tf.uint8)


def decode_file(path: str | Path, channels: int) -> tf.Tensor:
    """One image file as uint8 (height, width, channels); colour becomes grey for a one-channel network.

    Raises ReskerasError: status 2 for a missing file, 1 for one that cannot be read or is too large.
    """
    if not Path(path).is_file():
        raise ReskerasError(f"image: there is no file {path}")
    try:
        with Image.open(path) as image:
            pixels = image.width * image.height
        if pixels > LARGEST_IMAGE:
            raise failure(f"image: {path} has {pixels} pixels, more than {LARGEST_IMAGE}")
        decoded = decode(tf.io.read_file(str(path)), 3)
    except (OSError, ValueError, Image.DecompressionBombError, tf.errors.OpError) as error:
        raise failure(f"image: {path} is broken or no JPEG, PNG, BMP or GIF") from error
    return tf.image.rgb_to_grayscale(decoded) if channels == 1 else decoded


def fitted(indices: tf.data.Dataset, split: Split, height: int, width: int) -> tf.data.Dataset:
    """Indices to (uint8 image (height, width, channels), label), in order."""

    def load(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image, label = split.example(index)
        return fit_image(image, height, width), label

    return indices.map(load, num_parallel_calls=READERS, deterministic=True)
