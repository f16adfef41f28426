"""Grid: where the cells of a feature map look, for boxes in units of its cells."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Grid(NamedTuple):
    """Cell (i, j) looks at (`top` + i * `stride`, `left` + j * `stride`) pixels of the canvas: numbers, or for each
    region one, (B, R, 1)."""

    stride: tf.Tensor | float
    top: tf.Tensor | float
    left: tf.Tensor | float

    def cells(self, boxes: tf.Tensor, least: float = 0.0) -> tf.Tensor:
        """Boxes (B, R, 4) of pixels in cells: cell i from i to i + 1, which looks at i + 1/2. Sides below `least` cells
        are that long, from the upper left corner."""
        corners = tf.split(boxes, 2, axis=-1)
        offsets = tf.concat([tf.zeros_like(boxes[..., :1]) + self.top, tf.zeros_like(boxes[..., :1]) + self.left], -1)
        first, last = ((corner - offsets) / self.stride + 0.5 for corner in corners)
        if least:
            last = first + tf.maximum(last - first, least)
        return tf.concat([first, last], axis=-1)
