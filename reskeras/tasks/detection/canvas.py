"""Canvases: images of any size scaled to fit on a canvas of static size, and their boxes with them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import tensorflow as tf

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.resample import resampled


@dataclass(frozen=True)
class Placed:
    """An image on its canvas.

    `pixels` float32 (height, width, channels), 0..255, zeros outside the image; `window` float32 (4,), the part of the
    canvas that shows the image; `scale` and `corner`, float32 (2,) each, map boxes to it: box * scale + corner. Or a
    batch of them, each (B, ...).
    """

    pixels: tf.Tensor
    window: tf.Tensor
    scale: tf.Tensor
    corner: tf.Tensor

    @property
    def parts(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """The four tensors in order, for graphs: `Placed(*parts)` restores the object."""
        return self.pixels, self.window, self.scale, self.corner

    def boxes(self, boxes: tf.Tensor) -> tf.Tensor:
        """Boxes (..., N, 4) in pixels of the image, converted to pixels of the canvas; they may exceed the window."""
        scale, corner = self._sides
        return boxes * scale + corner

    def in_image(self, boxes: tf.Tensor) -> tf.Tensor:
        """Boxes (..., N, 4) in pixels of the canvas, converted to pixels of the image; rows of zeros stay zeros."""
        scale, corner = self._sides
        return tf.where(_given(boxes), (boxes - corner) / scale, 0.0)

    def carried(self, boxes: tf.Tensor, canvas: Placed) -> tf.Tensor:
        """Boxes (..., N, 4) in pixels of this canvas, converted to those of another `canvas` of the same image; rows of
        zeros stay zeros. If it is this one, nothing is rounded."""
        return boxes if canvas is self else tf.where(_given(boxes), canvas.boxes(self.in_image(boxes)), 0.0)

    @property
    def _sides(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Scale and corner (..., 1, 4) of all four sides."""
        scale, corner = (tf.concat([pair, pair], axis=-1)[..., tf.newaxis, :] for pair in (self.scale, self.corner))
        return scale, corner


def _given(boxes: tf.Tensor) -> tf.Tensor:
    """Whether boxes (..., 4) are other than the zeros of padding, bool (..., 1)."""
    return tf.reduce_any(boxes != 0, axis=-1, keepdims=True)


def placed(
    image: tf.Tensor, height: int, width: int, factor: tf.Tensor | float = 1.0, where: tf.Tensor | float = 0.0
) -> Placed:
    """uint8 (h, w, channels) on a canvas: scaled to fit, times `factor`. Bilinear, with antialiasing.

    `where` (2,), in 0..1, is the position of a smaller image in the free space, or of the visible part of a larger one;
    0 is the upper left corner. Scaled sizes are rounded to whole pixels, and the two scales follow from them.
    """
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    canvas = tf.constant([height, width], tf.float32)
    scaled = tf.maximum(tf.round(size * tf.reduce_min(canvas / size) * factor), 1.0)
    scale, corner = scaled / size, tf.round((canvas - scaled) * where)
    first, last = tf.maximum(corner, 0.0), tf.minimum(corner + scaled, canvas)
    # only the visible part: the op's buffer has (output rows x input columns) numbers, gigabytes for a strip of
    # 1x1000000 pixels on a whole canvas
    seen = resampled(image, tf.cast(last - first, tf.int32), scale, corner - first)
    beside = tf.cast(tf.stack([first, canvas - last], axis=1), tf.int32)
    pixels = tf.pad(seen, tf.concat([beside, [[0, 0]]], axis=0))
    return Placed(
        tf.ensure_shape(pixels, [height, width, image.shape[-1]]), tf.concat([first, last], axis=0), scale, corner
    )


def inside(window: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Whether pixels of a canvas show the image, bool (..., height, width, 1), by windows (..., 4)."""
    top, left, bottom, right = tf.unstack(window[..., tf.newaxis, tf.newaxis, tf.newaxis], axis=-4)
    rows = tf.range(height, dtype=tf.float32)[:, tf.newaxis, tf.newaxis]
    columns = tf.range(width, dtype=tf.float32)[:, tf.newaxis]
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)


def normalised(pixels: tf.Tensor, window: tf.Tensor, preprocessing: Preprocessing) -> tf.Tensor:
    """Canvases (B, height, width, channels) of 0..255, normalised as network input; zero outside the image."""
    visible = inside(window, preprocessing.height, preprocessing.width)
    return tf.where(visible, preprocessing.normalise(pixels), 0.0)


def on_canvas(preprocessing: Preprocessing, height: int, width: int) -> Preprocessing:
    """The same normalisation for a canvas of another size."""
    return replace(preprocessing, height=height, width=width)


def describe(preprocessing: Preprocessing) -> str:
    """How images become a detector's input, in one line."""
    whole = preprocessing.describe()
    return (
        f"scale to fit {preprocessing.height}x{preprocessing.width}, fill the rest with the mean, "
        f"{whole.rpartition(' centre, ')[2]}"
    )
