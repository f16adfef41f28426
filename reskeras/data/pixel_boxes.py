"""Boxes of whole pixels, for CutMix and random erasing.

keras.layers.CutMix and RandomErasing are not used: their boxes run between real-valued corners that are compared with
the index of a pixel, so that the first row and column are hardly ever inside, a box never covers a whole image, and
the weight of CutMix's labels is not the share of pixels that stay. CutMix also takes no alpha above 1.
"""

from __future__ import annotations

import tensorflow as tf

from reskeras.data.shard_rows import Rows

ERASED = (0.02, 0.4)  # share of an image, and
ASPECT = 0.3  # the flattest box, height by width: arXiv:1708.04896, section 4.2


def erase(images: tf.Tensor, probability: float, seed: tf.Tensor, rows: Rows) -> tf.Tensor:
    """Random erasing (arXiv:1708.04896): with `probability` a box of a normalised image is set to 0, the mean.

    Its area is uniform in ERASED, its aspect log-uniform in ASPECT..1/ASPECT, its place uniform; a box that
    would be longer than the image is cut off.
    """
    draws = tf.random.stateless_uniform([rows.of, 5], seed)
    chance, area, aspect, top, left = tf.unstack(rows.taken(draws), axis=1)
    share = ERASED[0] + area * (ERASED[1] - ERASED[0])
    stretch = tf.exp((2 * aspect - 1) * -tf.math.log(ASPECT))
    height, width = images.shape[1:3]
    size = tf.sqrt(share * height * width)
    high = tf.clip_by_value(tf.round(size * tf.sqrt(stretch)), 1, height)
    wide = tf.clip_by_value(tf.round(size / tf.sqrt(stretch)), 1, width)
    inside = _mask(tf.floor(top * (height - high + 1)), high, tf.floor(left * (width - wide + 1)), wide, height, width)
    return tf.where(inside & (chance < probability)[:, tf.newaxis, tf.newaxis, tf.newaxis], 0.0, images)


def cutmix_masks(weights: tf.Tensor, height: int, width: int, seed: tf.Tensor) -> tf.Tensor:
    """Where the partner's pixels go, bool (n, height, width, 1): boxes of share 1 - weight (n,), their centres
    uniform over the image, cut off at its edge (arXiv:1905.04899, appendix A)."""
    centres = tf.random.stateless_uniform([tf.shape(weights)[0], 2], seed)
    side = tf.sqrt(1 - weights)
    high, wide = tf.floor(height * side), tf.floor(width * side)
    top, left = (
        tf.floor(centres[:, axis] * length) - tf.floor(size / 2)
        for axis, (length, size) in enumerate(((height, high), (width, wide)))
    )
    return _mask(top, high, left, wide, height, width)


def _mask(top: tf.Tensor, high: tf.Tensor, left: tf.Tensor, wide: tf.Tensor, height: int, width: int) -> tf.Tensor:
    def within(first: tf.Tensor, count: tf.Tensor, length: int) -> tf.Tensor:
        places = tf.range(length, dtype=tf.float32)
        return (places >= first[:, tf.newaxis]) & (places < (first + count)[:, tf.newaxis])

    rows, columns = within(top, high, height), within(left, wide, width)
    return rows[:, :, tf.newaxis, tf.newaxis] & columns[:, tf.newaxis, :, tf.newaxis]
