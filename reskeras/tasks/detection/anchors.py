"""Anchors: boxes of a few sizes and shapes in every cell of a feature map (arXiv:1506.01497, section 3.1.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from reskeras.networks.detector_plan import DetectorPlan


def anchor_sizes(plan: DetectorPlan) -> tuple[float, ...]:
    """The square roots of the anchors' areas, in pixels of the canvas."""
    return cast(tuple[float, ...], plan.spec.anchors.sizes)  # the spec of a plan has everything decided


def anchor_grid(height: int, width: int, stride: float, sizes: Sequence[float], ratios: Sequence[float]) -> np.ndarray:
    """float32 (height * width * A, 4) boxes in pixels, for a map of `height` x `width` cells of `stride` pixels.

    Ordered by cell, row by row, then by the A shapes: for each of `sizes` each of `ratios`. A shape's area is size ** 2
    pixels and its height `ratio` times its width; it is centred on the cell. Anchors may exceed the image.
    """
    sides = np.array([(size * ratio**0.5, size / ratio**0.5) for size in sizes for ratio in ratios], np.float64)
    rows, columns = ((np.arange(count) + 0.5) * stride for count in (height, width))
    centres = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)[:, :, np.newaxis]
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=-1)
    return boxes.reshape(-1, 4).astype(np.float32)
