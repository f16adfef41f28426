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
    rows = _weights(top, bottom, side(features, 1), size, samples)
    columns = _weights(left, right, side(features, 2), size, samples)
    lines = tf.einsum("brph,bhwc->brpwc", tf.cast(rows, features.dtype), features)
    # as an einsum, 'brqw,brpwc->brpqc', this transposes all of `lines` and takes three times as long
    return tf.matmul(tf.cast(columns, features.dtype)[:, :, tf.newaxis], lines)


def _weights(low: tf.Tensor, high: tf.Tensor, length: int | tf.Tensor, size: int, samples: int) -> tf.Tensor:
    """float32 (B, R, size, length): weight of each cell of an axis in each bin between `low` and `high` (B, R)."""
    points, inside = sampled_points(low, high, size * samples, tf.cast(length, tf.float32) - 1)
    nearness = 1 - tf.abs(points[..., tf.newaxis] - tf.range(length, dtype=tf.float32))
    weights = tf.where(inside[..., tf.newaxis], tf.maximum(nearness, 0.0), 0.0)
    bins = tf.concat([tf.shape(low), [size, samples, length]], axis=0)
    mean = tf.reduce_mean(tf.reshape(weights, bins), axis=-2)
    return tf.ensure_shape(mean, [*low.shape, size, length if isinstance(length, int) else None])


def sampled_points(low: tf.Tensor, high: tf.Tensor, count: int, last: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The `count` points between `low` and `high` (B, R) of an axis whose cells are 0 to `last`: float32 (B, R, count),
    moved to the map's edge where they are outside, and whether each is at most a cell outside."""
    places = (tf.range(count, dtype=tf.float32) + 0.5) / count
    points = low[..., tf.newaxis] + places * (high - low)[..., tf.newaxis] - 0.5
    return tf.clip_by_value(points, 0.0, last), (points >= -1.0) & (points <= last + 1)


def side(features: tf.Tensor, axis: int) -> int | tf.Tensor:
    """The length of an axis: a number where it is known."""
    return features.shape[axis] or tf.shape(features)[axis]
