"""RoIAlign (arXiv:1703.06870, section 3) as two matrix products.

Bilinear interpolation and the mean of samples are both separable, so a region's output is rows x map x columns. The
gradients are matrix products as well, without scatter ops, which makes them deterministic on every device.
"""

from __future__ import annotations

import tensorflow as tf


def roi_align(features: tf.Tensor, boxes: tf.Tensor, size: int, samples: int = 2) -> tf.Tensor:
    """(B, R, size, size, C), in the dtype of `features`, of `features` (B, H, W, C) in `boxes` (B, R, 4).

    Boxes are in units of cells (pixels / stride), cell 0 from 0 to 1 with its feature at 0.5. Each of size x size bins
    is the mean of samples x samples points within it. Points up to half a cell outside of the map have the feature of
    its edge, as have those up to one cell further; beyond they are 0 (torchvision with `aligned=True`).
    No gradient flows to the boxes. The intermediate product has B * R * size * W * C numbers.
    """
    top, left, bottom, right = tf.unstack(tf.cast(tf.stop_gradient(boxes), tf.float32), num=4, axis=-1)
    rows = _weights(top, bottom, _length(features, 1), size, samples)
    columns = _weights(left, right, _length(features, 2), size, samples)
    lines = tf.einsum("brph,bhwc->brpwc", tf.cast(rows, features.dtype), features)
    # as an einsum, 'brqw,brpwc->brpqc', this transposes all of `lines` and takes three times as long
    return tf.matmul(tf.cast(columns, features.dtype)[:, :, tf.newaxis], lines)


def _weights(low: tf.Tensor, high: tf.Tensor, length: int | tf.Tensor, size: int, samples: int) -> tf.Tensor:
    """float32 (B, R, size, length): weight of each cell of an axis in each bin between `low` and `high` (B, R)."""
    places = (tf.range(size * samples, dtype=tf.float32) + 0.5) / (size * samples)
    points = low[..., tf.newaxis] + places * (high - low)[..., tf.newaxis] - 0.5
    cells, last = tf.range(length, dtype=tf.float32), tf.cast(length, tf.float32) - 1
    inside = (points >= -1.0) & (points <= last + 1)
    nearness = 1 - tf.abs(tf.clip_by_value(points, 0.0, last)[..., tf.newaxis] - cells)
    weights = tf.where(inside[..., tf.newaxis], tf.maximum(nearness, 0.0), 0.0)
    bins = tf.concat([tf.shape(low), [size, samples, length]], axis=0)
    mean = tf.reduce_mean(tf.reshape(weights, bins), axis=-2)
    return tf.ensure_shape(mean, [*low.shape, size, length if isinstance(length, int) else None])


def _length(features: tf.Tensor, axis: int) -> int | tf.Tensor:
    return features.shape[axis] or tf.shape(features)[axis]
