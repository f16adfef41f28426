"""RoI max pooling (arXiv:1504.08083, section 2.1), with bins of whole cells.

A bin's maximum is taken over four windows that cover it, with sides that are powers of two (a sparse table): the window
maxima at every position of the map are computed once for all regions, by doubling.
"""

from __future__ import annotations

import tensorflow as tf


def roi_pool(features: tf.Tensor, boxes: tf.Tensor, size: int) -> tf.Tensor:
    """(B, R, size, size, C), in the dtype of `features`, of `features` (B, H, W, C) in `boxes` (B, R, 4).

    H, W and C must be known. Boxes are in units of cells (pixels / stride). Their edges are rounded to whole cells,
    halves up, and are at least one cell apart; bin i goes from floor(i * length / size) to
    ceil((i + 1) * length / size), so that neighbours may share cells. A bin with no cell in the map is 0. A side
    longer than the map is cut to it first. The gradient goes to the cell of the maximum, one of them where several
    are equal; there is none to the boxes.
    """
    height, width, channels = features.shape[1:]
    top, left, bottom, right = tf.unstack(tf.cast(tf.stop_gradient(boxes), tf.float32), num=4, axis=-1)
    tall, wide = _windows(height, size), _windows(width, size)
    row_starts, row_levels, no_rows = _bins(top, bottom, size, height, tall)
    column_starts, column_levels, no_columns = _bins(left, right, size, width, wide)
    table = tf.concat(
        [
            tf.reshape(level, [-1, height * width, channels])
            for rows in _levels(features, 1, tall)
            for level in _levels(rows, 2, wide)
        ],
        axis=1,
    )
    level = row_levels[..., :, tf.newaxis] * len(wide) + column_levels[..., tf.newaxis, :]
    corners = [
        tf.gather(
            table, (level * height + rows[..., :, tf.newaxis]) * width + columns[..., tf.newaxis, :], batch_dims=1
        )
        for rows in row_starts
        for columns in column_starts
    ]
    largest = tf.maximum(tf.maximum(corners[0], corners[1]), tf.maximum(corners[2], corners[3]))
    empty = no_rows[..., :, tf.newaxis] | no_columns[..., tf.newaxis, :]
    return tf.where(empty[..., tf.newaxis], tf.zeros([], features.dtype), largest)


def _windows(length: int, size: int) -> list[int]:
    """Powers of two up to the longest bin of `size` bins over at most `length` cells."""
    longest = min(length, -(-length // size) + 1)
    return [1 << level for level in range(longest.bit_length())]


def _levels(features: tf.Tensor, axis: int, windows: list[int]) -> list[tf.Tensor]:
    """For each window size the maxima from every position on; positions where it leaves the map are never read."""
    levels = [features]
    for window in windows[:-1]:
        levels.append(tf.maximum(levels[-1], tf.roll(levels[-1], -window, axis)))
    return levels


def _bins(
    low: tf.Tensor, high: tf.Tensor, size: int, length: int, windows: list[int]
) -> tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor, tf.Tensor]:
    """For the bins between `low` and `high` (B, R): the starts of their two windows, the level of the windows, and
    whether the bin is empty, each (B, R, size)."""
    too_long = high - low > length
    low, high = (tf.where(too_long, tf.clip_by_value(end, 0.0, float(length)), end) for end in (low, high))
    start, end = (tf.cast(tf.floor(place + 0.5), tf.int32)[..., tf.newaxis] for place in (low, high))
    cells = tf.maximum(end - start, 1)
    bins = tf.range(size)
    first = tf.clip_by_value(start + bins * cells // size, 0, length)
    beyond = tf.clip_by_value(start + ((bins + 1) * cells + size - 1) // size, 0, length)
    empty = beyond <= first
    level = tf.add_n([tf.cast(beyond - first >= window, tf.int32) for window in windows]) - 1
    level = tf.maximum(level, 0)
    last = tf.maximum(beyond - tf.gather(windows, level), 0)
    return (tf.minimum(first, length - 1), last), level, empty
