"""Resampling of images: with antialiasing, TensorFlow's, several times as fast; or without."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

# TensorFlow's kernel, and its radius in pixels of the smaller image; all equal Pillow's
INTERPOLATIONS = {"bilinear": ("triangle", 1), "bicubic": ("keyscubic", 2), "lanczos": ("lanczos3", 3)}


def resampled(
    image: tf.Tensor,
    size: tf.Tensor | tuple[int, int],
    scale: tf.Tensor | None = None,
    translation: Sequence[float] | tf.Tensor = (0.0, 0.0),
    interpolation: str = "bilinear",
) -> tf.Tensor:
    """(h, w, channels) to float32 (height, width, channels) of `size`: the same numbers as
    `tf.raw_ops.ScaleAndTranslate(antialias=True)` and, by default, as `tf.image.resize(antialias=True)`.

    The pixel at (y, x) moves to (y, x) * `scale` + `translation`, as rows and columns; by default the whole image is
    scaled to `size`.
    """
    if scale is None:
        scale = tf.cast(size, tf.float32) / tf.cast(tf.shape(image)[:2], tf.float32)
    kernel, _ = INTERPOLATIONS[interpolation]
    rows = _along_rows(image, size[0], scale[0], translation[0], kernel)
    columns = _along_rows(tf.transpose(rows, [1, 0, 2]), size[1], scale[1], translation[1], kernel)
    return tf.transpose(columns, [1, 0, 2])


def interpolated(
    image: tf.Tensor, size: tf.Tensor | tuple[int, int], ratio: tf.Tensor, translation: tf.Tensor
) -> tf.Tensor:
    """As `resampled`, without antialiasing, between the four pixels around each point. `ratio` is 1 / scale: points are
    then the float32 numbers of PyTorch's `interpolate`."""
    length = tf.shape(image)[:2]
    image = tf.cast(image, tf.float32)
    for axis in (0, 1):
        points = (tf.range(size[axis], dtype=tf.float32) + 0.5 - translation[axis]) * ratio[axis] - 0.5
        points = tf.maximum(points, 0.0)
        before = tf.minimum(tf.cast(points, tf.int32), length[axis] - 1)
        share = tf.reshape(points - tf.cast(before, tf.float32), [-1, 1, 1] if axis == 0 else [1, -1, 1])
        after = tf.minimum(before + 1, length[axis] - 1)
        image = (1 - share) * tf.gather(image, before, axis=axis) + share * tf.gather(image, after, axis=axis)
    return image


def _along_rows(
    image: tf.Tensor, height: tf.Tensor | int, scale: tf.Tensor, translation: tf.Tensor | float, kernel: str
) -> tf.Tensor:
    """Resampled in height alone. A row is given to the op as one pixel of many channels: it adds up whole pixels at a
    time, so that three channels each are three times as slow."""
    _, width, channels = tf.unstack(tf.shape(image))
    resized = tf.raw_ops.ScaleAndTranslate(
        images=tf.reshape(image, [1, -1, 1, width * channels]),
        size=[height, 1],
        scale=[scale, 1.0],
        translation=[translation, 0.0],
        kernel_type=kernel,
        antialias=True,
    )
    return tf.ensure_shape(tf.reshape(resized, [-1, width, channels]), [None, None, image.shape[-1]])
