"""RoIAlign on a pyramid of maps: each region is pooled from the map of its size (arXiv:1612.03144, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

import tensorflow as tf

from reskeras.tasks.detection.align import sampled_points, side
from reskeras.tasks.detection.boxes import areas
from reskeras.tasks.detection.grid import Grid

CANONICAL_STRIDE = 16  # of the map that a region of the canonical side is pooled from
EPSILON = 1e-6  # a side of exactly twice another is one map coarser, whatever the rounding


def level_of(boxes: tf.Tensor, strides: Sequence[float], canonical: float) -> tf.Tensor:
    """Index int32 (B, R) of the map of these `strides` that boxes (B, R, 4) in pixels are pooled from: the one whose
    stride is 16 times the largest power of 2 of which `canonical` pixels is not more than the side, the square root of
    the area; else the nearest (equation 1)."""
    sides = tf.sqrt(tf.maximum(areas(boxes), 1e-12))
    steps = tf.floor(tf.math.log(sides / canonical) / tf.math.log(2.0) + EPSILON) + log2(CANONICAL_STRIDE / strides[0])
    return tf.cast(tf.clip_by_value(steps, 0.0, len(strides) - 1.0), tf.int32)


def pyramid_align(
    maps: Sequence[tf.Tensor],
    boxes: tf.Tensor,
    grids: Sequence[Grid],
    size: int,
    samples: int,
    canonical: float,
    least: float = 0.0,
) -> tf.Tensor:
    """(B, R, size, size, C), in the dtype of `maps` (B, H, W, C), of boxes (B, R, 4) in pixels of the canvas.

    What `roi_align` computes of the map that `level_of` says, by gathering the four neighbours of each point: of fine
    maps its matrices would be many times the work. No gradient flows to the boxes.
    """
    boxes = tf.cast(tf.stop_gradient(boxes), tf.float32)
    level = level_of(boxes, [float(grid.stride) for grid in grids], canonical)
    heights, widths = ([side(each, axis) for each in maps] for axis in (1, 2))
    starts = tf.cumsum([height * width for height, width in zip(heights, widths, strict=True)], exclusive=True)
    grid = Grid(
        *(tf.gather(tf.constant(values, tf.float32), level)[..., tf.newaxis] for values in zip(*grids, strict=True))
    )
    height, width, start = (tf.gather(tf.stack(values), level) for values in (heights, widths, starts))
    cells = grid.cells(boxes, least)
    rows = _neighbours(cells[..., 0], cells[..., 2], height, size * samples)
    columns = _neighbours(cells[..., 1], cells[..., 3], width, size * samples)
    channels = maps[0].shape[-1]
    table = tf.concat([tf.reshape(each, [tf.shape(each)[0], -1, channels]) for each in maps], axis=1)
    found: tf.Tensor = 0
    for row, of_row in rows:
        for column, of_column in columns:
            before = start[..., tf.newaxis] + row * width[..., tf.newaxis]
            places = before[..., tf.newaxis] + column[..., tf.newaxis, :]
            weights = of_row[..., tf.newaxis] * of_column[..., tf.newaxis, :]
            found += tf.cast(weights, table.dtype)[..., tf.newaxis] * tf.gather(table, places, batch_dims=1)
    regions = boxes.shape[1]
    # one axis after the other: LiteRT has no mean of a tensor with seven
    found = tf.reduce_mean(tf.reshape(found, [-1, size, samples, size * samples * channels]), axis=2)
    found = tf.reduce_mean(tf.reshape(found, [-1, size, samples, channels]), axis=2)
    return tf.reshape(found, [-1, regions, size, size, channels])


def _neighbours(low: tf.Tensor, high: tf.Tensor, length: tf.Tensor, count: int) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """For `count` points between `low` and `high` (B, R) cells of an axis of `length` (B, R): the two cells beside
    each, int32 (B, R, count), and their weights, which are 0 for points more than a cell outside of the map."""
    last = tf.cast(length, tf.float32)[..., tf.newaxis] - 1
    points, near = sampled_points(low, high, count, last)
    inside, first = tf.cast(near, tf.float32), tf.floor(points)
    after = tf.minimum(first + 1, last)
    return [
        (tf.cast(first, tf.int32), inside * (1 - (points - first))),
        (tf.cast(after, tf.int32), inside * (points - first)),
    ]
