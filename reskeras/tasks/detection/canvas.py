"""Canvases: images of any size scaled onto one of a few canvases of static size, and their boxes with them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.resample import interpolated, resampled
from reskeras.networks.detector_plan import DetectorPlan
from reskeras.networks.resize import ANTIALIASED, Canvas, Resampling, ResizeSpec
from reskeras.tasks.detection.options import Options


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


@dataclass(frozen=True)
class Canvases:
    """The canvases of a detector, heights and widths in ascending order of area: which one an image takes, and its size
    there.

    Without `sides` there is one, which every image is scaled to fit. `sides` are those of a scaled image: the shorter
    one, and the maximum of the longer; an image then takes the first canvas that holds it. `resampling` is how it is
    scaled.
    """

    shapes: tuple[Canvas, ...]
    sides: tuple[float, float] | None = None
    resampling: Resampling = ANTIALIASED

    @classmethod
    def of(cls, plan: DetectorPlan) -> Canvases:
        """Those of a detector."""
        resize = plan.spec.resize
        return cls(plan.canvases, resize.sides, resize.resampling) if resize else cls(plan.canvases)

    @classmethod
    def by_shorter_side(cls, canvas: Canvas) -> Canvases:
        """For images whose shorter side is that of `canvas`, and their longer side at most its longer one, whatever
        their orientation."""
        sides = ResizeSpec(shorter=min(canvas), longer=max(canvas))
        return cls(sides.at_stride((1, 1)).canvases or (), sides.sides)

    def __len__(self) -> int:
        return len(self.shapes)

    @property
    def larger(self) -> tuple[tuple[int, ...], ...]:
        """For each canvas the others that hold it, the smallest first."""
        return tuple(
            tuple(place for place, other in enumerate(self.shapes) if other != own and all(map(int.__ge__, other, own)))
            for own in self.shapes
        )

    @property
    def hull(self) -> Canvas:
        """Height and width that hold every canvas."""
        height, width = (max(sides) for sides in zip(*self.shapes, strict=True))
        return height, width

    def times(self, factor: float) -> Canvases:
        """The same for images `factor` times as large: an image takes the canvas of the same place."""
        shapes = tuple((round(height * factor), round(width * factor)) for height, width in self.shapes)
        return replace(self, shapes=shapes, sides=self.sides and (self.sides[0] * factor, self.sides[1] * factor))

    def chosen(self, sizes: tf.Tensor | np.ndarray) -> tf.Tensor:
        """The canvas, an int32 index (...), of images of `sizes` (..., 2)."""
        size = scaled(tf.cast(sizes, tf.float32), self.shapes[-1], self.sides, down=self.resampling.down)
        size = size[..., tf.newaxis, :]
        holds = tf.reduce_all(size <= tf.constant(self.shapes, tf.float32), axis=-1)
        return tf.argmax(holds, axis=-1, output_type=tf.int32)


def views(own: Canvases, options: Options) -> tuple[list[Canvases], Canvases]:
    """The canvases at scale 1, then at each of the options' scales; and those by which an image takes its own."""
    if options.shorter and own.sides is None:
        [canvas] = own.shapes
        levels = Canvases.by_shorter_side(canvas)
        return [replace(own, shapes=own.shapes * len(levels)), *_scaled(levels, options)], levels
    return [own, *_scaled(own, options)], own


def _scaled(canvases: Canvases, options: Options) -> list[Canvases]:
    factors = options.scales
    if options.shorter and canvases.sides:
        factors = tuple(pixels / canvases.sides[0] for pixels in options.shorter)
    return [canvases.times(factor) for factor in factors]


def scaled(
    size: tf.Tensor,
    canvas: Canvas,
    sides: tuple[float, float] | None = None,
    factor: tf.Tensor | float = 1.0,
    down: bool = False,
) -> tf.Tensor:
    """Height and width in whole pixels, float32 (..., 2), of images of `size` (..., 2), scaled to fit `canvas` or, if
    given, by their `sides` as in Canvases; times `factor`. Rounded, or `down`."""
    if down:
        # in float64 with the operations of torchvision: 799.99999 and 800 are different sizes
        size, factor = tf.cast(size, tf.float64), tf.cast(factor, tf.float64)
    if sides is None:
        scale = tf.reduce_min(tf.constant(canvas, size.dtype) / size, axis=-1, keepdims=True)
    else:
        shorter, longer = (reduce(size, axis=-1, keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
        scale = tf.minimum(sides[0] / shorter, sides[1] / longer)
    whole = tf.floor if down else tf.round
    return tf.cast(tf.maximum(whole(size * scale * factor), 1.0), tf.float32)


def placed(
    image: tf.Tensor,
    height: int,
    width: int,
    factor: tf.Tensor | float = 1.0,
    where: tf.Tensor | float = 0.0,
    sides: tuple[float, float] | None = None,
    resampling: Resampling = ANTIALIASED,
    part: tf.Tensor | None = None,
) -> Placed:
    """uint8 (h, w, channels) on a canvas: `scaled` to fit or by its `sides`, times `factor`. Bilinear, as `resampling`
    says.

    `where` (2,), in 0..1, is the position of a smaller image in the free space, or of the visible part of a larger one;
    0 is the upper left corner. Scaled sizes are rounded to whole pixels, and the two scales follow from them. With
    `part` (4,), a box of whole pixels, only that part of the canvas is for the image; the size is that on all of it.
    """
    size, canvas = tf.cast(tf.shape(image)[:2], tf.float32), tf.constant([height, width], tf.float32)
    start, end = (tf.zeros(2), canvas) if part is None else (part[:2], part[2:])
    shown = scaled(size, (height, width), sides, factor, resampling.down)
    scale, corner = shown / size, start + tf.round((end - start - shown) * where)
    first, last = tf.maximum(corner, start), tf.minimum(corner + shown, end)
    # only the visible part: the op's buffer has (output rows x input columns) numbers, gigabytes for a strip of
    # 1x1000000 pixels on a whole canvas
    visible = tf.cast(last - first, tf.int32)
    if resampling.antialias:
        seen = resampled(image, visible, scale, corner - first)
    else:
        seen = interpolated(image, visible, size / shown, corner - first)
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
    """Canvases (B, height, width, channels) of 0..255, normalised as network input; zero outside the image's window
    (B, 4), or those of several images (B, P, 4)."""
    visible = inside(window, preprocessing.height, preprocessing.width)
    visible = tf.reduce_any(visible, axis=1) if window.shape.rank == 3 else visible
    return tf.where(visible, preprocessing.normalise(pixels), 0.0)


def on_canvas(preprocessing: Preprocessing, height: int, width: int) -> Preprocessing:
    """The same normalisation for a canvas of another size."""
    return replace(preprocessing, height=height, width=width)


def describe(preprocessing: Preprocessing, resize: ResizeSpec | None = None) -> str:
    """How images become a detector's input, in one line."""
    size = f"to fit {preprocessing.height}x{preprocessing.width}"
    if resize:
        shorter, longer = resize.sides
        size = f"to a shorter side of {shorter} pixels, and a longer one of at most {longer}"
    plainly = ", without antialiasing" if resize and not resize.antialias else ""
    return f"scale {size}{plainly}, fill the rest with the mean, {preprocessing.describe().rpartition(' centre, ')[2]}"
