"""Regions cut out of an image and warped to one size, whatever their shape."""

from __future__ import annotations

import tensorflow as tf

from reskeras.data.resample import resampled


def warped(image: tf.Tensor, box: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """The part of uint8 (h, w, channels) in a box float32 (4,), top, left, bottom, right in pixels, as float32 (height,
    width, channels) in 0..255, antialiased. A box thinner than a pixel is widened to one."""
    corner = tf.minimum(box[:2], tf.cast(tf.shape(image)[:2], tf.float32) - 1.0)
    sides = tf.maximum(box[2:] - corner, 1.0)
    scale = tf.constant([height, width], tf.float32) / sides
    pixels = resampled(image, (height, width), scale, -corner * scale)
    return tf.ensure_shape(tf.clip_by_value(pixels, 0.0, 255.0), [height, width, image.shape[-1]])
