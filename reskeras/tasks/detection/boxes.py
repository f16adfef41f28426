"""Boxes as tensors: areas, IoU, clipping, mirroring, and the encoding of boxes relative to anchors.

A box is float32 (..., 4): top, left, bottom, right in pixels; pixel 0 covers 0 to 1. A box whose bottom is not below
its top, or right not right of its left, is empty: its area is 0 and it overlaps nothing, as the zeros of padding.
"""

from __future__ import annotations

import math

import tensorflow as tf

VISIBLE = 1e-2  # pixels of a side, below which a box shows nothing
LARGEST_STRETCH = math.log(1000 / 16)  # bound of dh and dw, so that no box is infinite


def areas(boxes: tf.Tensor) -> tf.Tensor:
    """Square pixels (...) of boxes (..., 4), float32."""
    top, left, bottom, right = _sides(boxes)
    return tf.maximum(bottom - top, 0.0) * tf.maximum(right - left, 0.0)


def overlaps(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Intersection over union, float32 (..., N, M) in 0..1, of boxes (..., N, 4) with boxes (..., M, 4).

    Leading dimensions broadcast: anchors (N, 4) go with the objects (B, M, 4) of a batch.
    """
    common = _intersections(a, b)
    return tf.math.divide_no_nan(common, areas(a)[..., tf.newaxis] + areas(b)[..., tf.newaxis, :] - common)


def coverage(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Share of each box of `a` (..., N, 4) that lies in each box of `b` (..., M, 4): float32 (..., N, M) in 0..1."""
    return tf.math.divide_no_nan(_intersections(a, b), areas(a)[..., tf.newaxis])


def clipped(boxes: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Boxes (..., N, 4) clipped to images of `size` (..., 2), height and width in pixels; empty if wholly outside."""
    size = tf.cast(size, tf.float32)
    return tf.clip_by_value(tf.cast(boxes, tf.float32), 0.0, tf.concat([size, size], axis=-1)[..., tf.newaxis, :])


def window_clipped(boxes: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """Boxes (B, N, 4) clipped to the `window` (B, 4) of the canvas that shows the image."""
    corner = tf.concat([window[:, :2], window[:, :2]], axis=-1)[:, tf.newaxis]
    return clipped(boxes - corner, window[:, 2:] - window[:, :2]) + corner


def vanished(boxes: tf.Tensor) -> tf.Tensor:
    """Which boxes (..., 4) are empty or too thin to show anything, bool (...); not those of NaN."""
    return tf.reduce_any(boxes[..., 2:] - boxes[..., :2] < VISIBLE, axis=-1)


def share_inside(anchors: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
    """Share of each anchor (N, 4) inside the `window` (B, 4) of the canvas that shows the image, (B, N)."""
    return coverage(anchors, window[:, tf.newaxis])[..., 0]


def encoded(boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """Deltas from `anchors` to `boxes`, both (..., 4): float32 (..., 4), dy, dx, dh, dw (arXiv:1311.2524, appendix C).

    dy and dx are the offset of the centres in heights and widths of the anchor, dh and dw the log ratios of the sizes.
    Zeros where either is empty, so that masked rows are never NaN.
    """
    y, x, height, width = _centres(boxes)
    anchor_y, anchor_x, anchor_height, anchor_width = _centres(anchors)
    real = (height > 0) & (width > 0) & (anchor_height > 0) & (anchor_width > 0)
    height, width, anchor_height, anchor_width = (
        tf.where(real, length, 1.0) for length in (height, width, anchor_height, anchor_width)
    )
    deltas = tf.stack(
        [
            (y - anchor_y) / anchor_height,
            (x - anchor_x) / anchor_width,
            tf.math.log(height / anchor_height),
            tf.math.log(width / anchor_width),
        ],
        axis=-1,
    )
    return tf.where(real[..., tf.newaxis], deltas, 0.0)


def decoded(deltas: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
    """Boxes float32 (..., 4) from `deltas` (..., 4), dy, dx, dh, dw, and `anchors` (..., 4): inverts `encoded`.

    No side exceeds 1000/16 times the anchor's. Computed in float32 whatever the dtype of the deltas.
    """
    dy, dx, dh, dw = _sides(deltas)
    y, x, height, width = _centres(anchors)
    y, x = y + dy * height, x + dx * width
    high = height * tf.exp(tf.minimum(dh, LARGEST_STRETCH)) / 2
    wide = width * tf.exp(tf.minimum(dw, LARGEST_STRETCH)) / 2
    return tf.stack([y - high, x - wide, y + high, x + wide], axis=-1)


def mirrored(boxes: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Boxes (..., N, 4) in images of `width` (...) pixels that are mirrored left to right. Empty ones stay empty."""
    top, left, bottom, right = _sides(boxes)
    width = tf.cast(width, tf.float32)[..., tf.newaxis]
    return tf.stack([top, width - right, bottom, width - left], axis=-1)


def turned(boxes: tf.Tensor, quarters: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Boxes (N, 4) in an image of height x width after as many counter-clockwise quarter turns of it as the scalar
    `quarters` says, from 0 to 3. Empty ones stay empty."""
    height, width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    top, left, bottom, right = _sides(boxes)
    around = (
        [top, left, bottom, right],
        [width - right, top, width - left, bottom],
        [height - bottom, width - right, height - top, width - left],
        [left, height - bottom, right, height - top],
    )
    return tf.gather(tf.stack([tf.stack(sides, axis=-1) for sides in around]), quarters)


def _sides(boxes: tf.Tensor) -> list[tf.Tensor]:
    return tf.unstack(tf.cast(boxes, tf.float32), num=4, axis=-1)


def _centres(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Centre's y and x, height, width."""
    top, left, bottom, right = _sides(boxes)
    return (top + bottom) / 2, (left + right) / 2, bottom - top, right - left


def _intersections(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Intersection areas, (..., N, M), coordinate by coordinate, so that no (..., N, M, 4) tensor is made."""
    top, left, bottom, right = (side[..., tf.newaxis] for side in _sides(a))
    other_top, other_left, other_bottom, other_right = (side[..., tf.newaxis, :] for side in _sides(b))
    height = tf.maximum(tf.minimum(bottom, other_bottom) - tf.maximum(top, other_top), 0.0)
    width = tf.maximum(tf.minimum(right, other_right) - tf.maximum(left, other_left), 0.0)
    return height * width
