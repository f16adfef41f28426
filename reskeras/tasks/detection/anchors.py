"""Anchors: boxes of a few sizes and shapes in every cell of a feature map (arXiv:1506.01497, section 3.1.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.networks.detector_plan import DetectorPlan, Level
from reskeras.networks.geometry import GEOMETRIES
from reskeras.networks.localiser_plan import LocaliserPlan


def anchor_fields(plan: DetectorPlan | LocaliserPlan, level: Level) -> dict[str, Any]:
    """What `anchor_grid` needs of a level of a plan, besides the size of its map."""
    return {
        "sizes": level.sizes,
        "ratios": plan.spec.anchors.ratios,
        "stride": level.stride if {*level.steps} == {level.stride} else level.steps,
        "offsets": level.offsets,
        "rounded": GEOMETRIES[plan.spec.geometry].rounded,
    }


def anchor_sides(sizes: Sequence[float], ratios: Sequence[float], rounded: bool = False) -> np.ndarray:
    """Height and width of each shape, float64 (A, 2), in the order of `anchor_grid`."""
    sides = np.array([(size * ratio**0.5, size / ratio**0.5) for size in sizes for ratio in ratios], np.float64)
    return 2 * np.round(sides / 2) if rounded else sides


def anchor_grid(
    height: int,
    width: int,
    stride: float | Sequence[float],
    sizes: Sequence[float],
    ratios: Sequence[float],
    offsets: Sequence[float] | None = None,
    rounded: bool = False,
) -> tf.Tensor:
    """float32 (height * width * A, 4) boxes in pixels, for a map of `height` x `width` cells of `stride` pixels, or of
    so many of height and of width.

    Ordered by cell, row by row, then by the A shapes: for each of `sizes` each of `ratios`. A shape's area is size ** 2
    pixels and its height `ratio` times its width; it is centred where its cell looks: the first cell at `offsets`, by
    default half a stride. With `rounded` its edges are whole pixels from there. Anchors may exceed the image.

    In a graph they are computed where they are needed: as constants those of 1344x800 pixels would take 4 MB, on each
    of many canvases, and several times that while the graph is optimised.
    """
    half = anchor_sides(sizes, ratios, rounded) / 2
    steps = stride if isinstance(stride, Sequence) else (stride, stride)
    rows, columns = (
        np.arange(count) * step + offset
        for count, step, offset in zip((height, width), steps, offsets or [step / 2 for step in steps], strict=True)
    )
    shape = height, width, len(half)
    sides = [
        tf.broadcast_to(middles + sign * half[:, axis], shape)
        for sign in (-1, 1)
        for axis, middles in enumerate((rows[:, np.newaxis, np.newaxis], columns[:, np.newaxis]))
    ]
    return tf.cast(tf.reshape(tf.stack(sides, axis=-1), [-1, 4]), tf.float32)
