"""Images with their boxes put on canvases: one on each or four in a mosaic, turned, scaled and flipped."""

from __future__ import annotations

import tensorflow as tf

from reskeras.data.batches import mapped
from reskeras.data.decode import decode
from reskeras.data.random_change import turned as turned_image
from reskeras.tasks.detection.boxes import areas, clipped, mirrored, turned
from reskeras.tasks.detection.canvas import Canvases, placed, scaled
from reskeras.tasks.detection.mosaic import Tiles
from reskeras.tasks.detection.object_feed import TILES
from reskeras.tasks.detection.objects import IGNORED, PADDING, Objects

LEAST_SEEN = 0.4  # visible share of an object cut by the canvas, below which it is ignored

Inputs = dict[str, tf.Tensor]


def on_canvases(
    split: Objects, tiles: Tiles, size: tuple[int, int, int], canvases: Canvases, most: int, at_once: int, fits: bool
) -> Inputs:
    """Images 0..255 (B, *size), the `parts` (B, P, 4) of the canvas that show one, boxes on the canvas (B, most, 4) and
    labels (B, most); read `at_once` at the same time.

    `tiles` are P images of each canvas: their `index`, int64 (B, P), `factor` (B, P) and `where` (B, P, 2) as `placed`
    takes them; with `quarters`, int32 (B, P), they are first turned, and if the canvas should not cut off what it
    would not cut off unturned, it `fits` them. Where there are several, `part` (B, P, 4) is where each goes, and
    `several` (B,) says whether there are more than the first.
    """
    height, width, channels = size

    def tile(row: Tiles, place: int) -> tuple[tf.Tensor, ...]:
        image, factor = decode(split.read(row["index"][place]), channels), row["factor"][place]
        boxes, labels = split.in_graph(row["index"][place])
        if "quarters" in row:
            boxes = turned(boxes, row["quarters"][place], *tf.unstack(tf.shape(image)[:2]))
            image = turned_image(image, row["quarters"][place])
            factor *= _fitting(image, size, canvases) if fits else 1.0
        part = row["part"][place] if "part" in row else None
        one = placed(image, height, width, factor, row["where"][place], canvases.sides, canvases.resampling, part)
        return one.pixels, one.window[tf.newaxis], *in_view(one.boxes(boxes), labels, one.window)

    def load(row: Tiles) -> tuple[tf.Tensor, ...]:
        pixels, parts, boxes, labels = first = tile(row, 0)
        count = split.most
        if "several" in row:

            def together() -> tuple[tf.Tensor, ...]:
                pixels, *others = zip(first, *(tile(row, place) for place in range(1, TILES)), strict=True)
                return tf.add_n(pixels), *(tf.concat(each, axis=0) for each in others)  # nothing overlaps

            def alone() -> tuple[tf.Tensor, ...]:
                return pixels, tf.tile(parts, [TILES, 1]), *_padded(boxes, labels, (TILES - 1) * count)

            pixels, parts, boxes, labels = tf.cond(row["several"], together, alone)
            count *= TILES
        return pixels, parts, *_padded(boxes, labels, most - count)

    shapes = (
        tf.TensorSpec(size),
        tf.TensorSpec([TILES if "several" in tiles else 1, 4]),
        tf.TensorSpec([most, 4]),
        tf.TensorSpec([most], tf.int32),
    )
    return dict(zip(("image", "parts", "boxes", "labels"), mapped(load, tiles, shapes, at_once), strict=True))


def _fitting(image: tf.Tensor, size: tuple[int, int, int], canvases: Canvases) -> tf.Tensor:
    """The factor, at most 1, by which a canvas of `size` holds an image."""
    shown = scaled(tf.cast(tf.shape(image)[:2], tf.float32), size[:2], canvases.sides, down=canvases.resampling.down)
    return tf.minimum(tf.reduce_min(tf.constant(size[:2], tf.float32) / shown), 1.0)


def _padded(boxes: tf.Tensor, labels: tf.Tensor, rows: int) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.pad(boxes, [[0, rows], [0, 0]]), tf.pad(labels, [[0, rows]], constant_values=PADDING)


def in_view(boxes: tf.Tensor, labels: tf.Tensor, window: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Boxes (G, 4) of a canvas and labels (G,), clipped to `window` (4,): objects with less than LEAST_SEEN of their
    area left are ignored, those with nothing left become padding."""
    corner = tf.tile(window[:2], [2])
    cut = clipped(boxes - corner, window[2:] - window[:2]) + corner
    share = tf.math.divide_no_nan(areas(cut), areas(boxes))
    labels = tf.where((share < LEAST_SEEN) & (labels >= 0), IGNORED, labels)
    labels = tf.where(share > 0, labels, PADDING)
    return tf.where((labels != PADDING)[:, tf.newaxis], cut, 0.0), labels


def flipped(inputs: Inputs, chosen: tf.Tensor, width: int) -> Inputs:
    """Images, parts and boxes of the `chosen` rows, bool (B, 1, 1, 1), flipped horizontally."""
    images = tf.where(chosen, tf.reverse(inputs["image"], axis=[2]), inputs["image"])
    whole = tf.fill(tf.shape(chosen)[:1], float(width))
    real = (inputs["labels"] != PADDING)[..., tf.newaxis]
    boxes = tf.where(chosen[..., 0] & real, mirrored(inputs["boxes"], whole), inputs["boxes"])
    parts = tf.where(chosen[..., 0], mirrored(inputs["parts"], whole), inputs["parts"])
    return inputs | {"image": images, "boxes": boxes, "parts": parts}


def transposed(inputs: Inputs) -> Inputs:
    """Rows and columns exchanged, so that a horizontal flip becomes a vertical one."""
    order = [1, 0, 3, 2]
    return inputs | {
        "image": tf.transpose(inputs["image"], [0, 2, 1, 3]),
        "boxes": tf.gather(inputs["boxes"], order, axis=-1),
        "parts": tf.gather(inputs["parts"], order, axis=-1),
    }
