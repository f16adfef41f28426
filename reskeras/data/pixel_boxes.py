"""Boxes of whole pixels, for CutMix and random erasing.

keras.layers.CutMix and RandomErasing are not used: their boxes run between real-valued corners that are compared with
the index of a pixel, so that the first row and column are hardly ever inside, and the weight of CutMix's labels is not
the share of pixels that stay. CutMix also takes no alpha above 1.
"""

from __future__ import annotations

import tensorflow as tf

from reskeras.data.random_change import RandomChange
from reskeras.data.shard_rows import Rows

ERASED = (0.02, 0.4)  # share of an image, and
ASPECT = 0.3  # the flattest box, height by width: arXiv:1708.04896, section 4.2


def erasing(probability: float, height: int, width: int) -> RandomChange:
    """Random erasing (arXiv:1708.04896) of images of height x width: with `probability` a box of a normalised image is
    set to 0, the mean.

    Its area is uniform in ERASED, its aspect log-uniform in ASPECT..1/ASPECT, its place uniform; a box that
    would be longer than the image is cut off.
    """

    def boxes(seed: tf.Tensor, rows: Rows) -> tf.Tensor:
        draws = rows.taken(tf.random.stateless_uniform([rows.of, 5], seed))
        chance, area, aspect, top, left = tf.unstack(draws, axis=1)
        share = ERASED[0] + area * (ERASED[1] - ERASED[0])
        stretch = tf.exp((2 * aspect - 1) * -tf.math.log(ASPECT))
        size = tf.sqrt(share * height * width)
        high = tf.clip_by_value(tf.round(size * tf.sqrt(stretch)), 1, height)
        wide = tf.clip_by_value(tf.round(size / tf.sqrt(stretch)), 1, width)
        top, left = tf.floor(top * (height - high + 1)), tf.floor(left * (width - wide + 1))
        chosen = tf.cast(chance < probability, tf.float32)
        return tf.stack([top, left, top + high * chosen, left + wide * chosen], axis=1)

    return RandomChange(boxes, lambda images, boxes: tf.where(inside(boxes, height, width), 0.0, images))


def cutmix_boxes(weights: tf.Tensor, height: int, width: int, seed: tf.Tensor) -> tf.Tensor:
    """Where the partner's pixels go, float32 (n, 4), cut off at the image's edge: boxes of share 1 - weight (n,), their
    centres uniform over the image (arXiv:1905.04899, appendix A)."""
    centres = tf.random.stateless_uniform([tf.shape(weights)[0], 2], seed)
    side, lengths = tf.sqrt(1 - weights), tf.constant([height, width], tf.float32)
    sizes = tf.floor(lengths * side[:, tf.newaxis])
    corners = tf.floor(centres * lengths) - tf.floor(sizes / 2)
    return tf.concat([tf.maximum(corners, 0.0), tf.minimum(corners + sizes, lengths)], axis=1)


def shares(boxes: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """The share of an image of height x width, float32 (n,), that each box inside it takes."""
    return tf.reduce_prod(boxes[:, 2:] - boxes[:, :2], axis=1) / (height * width)


def inside(boxes: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Whether pixels are in their image's box, bool (n, height, width, 1). Boxes, float32 (n, 4), are top, left, bottom
    and right at whole pixels."""
    top, left, bottom, right = (edge[:, tf.newaxis] for edge in tf.unstack(boxes, axis=1))
    down, along = tf.range(height, dtype=tf.float32), tf.range(width, dtype=tf.float32)
    rows, columns = (down >= top) & (down < bottom), (along >= left) & (along < right)
    return rows[:, :, tf.newaxis, tf.newaxis] & columns[:, tf.newaxis, :, tf.newaxis]
