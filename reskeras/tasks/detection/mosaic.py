"""Mosaics: which four images share a canvas, and where; all of it drawn with the batch."""

from __future__ import annotations

import tensorflow as tf

from reskeras.data.random_change import log_uniform
from reskeras.data.shard_rows import Rows
from reskeras.recipes.augment import MosaicSpec
from reskeras.tasks.detection.object_feed import TILES

CUT = 0.2, 0.8  # where a mosaic is cut, as a share of the canvas' side; as in the code of arXiv:2004.10934
PLACES, PARTNERS = 0, 1  # folded into a batch's seed of mosaics

Tiles = dict[str, tf.Tensor]


def mosaics(
    alone: Tiles, spec: MosaicSpec, count: int, size: tuple[int, int], seed: tf.Tensor, rows: Rows, on: tf.Tensor
) -> Tiles:
    """The `tiles` (see `placing.on_canvases`) of a batch whose images are in mosaics with the spec's probability and
    otherwise `alone`, which has one tile of each; `on` is a scalar, False where no image is in one.

    The other three are any of `count` images. The canvas, of `size`, is cut by two lines into four parts.
    """
    fold = tf.random.experimental.stateless_fold_in
    draws = rows.taken(tf.random.stateless_uniform([rows.of, 3 + 3 * TILES], fold(seed, PLACES)))
    others = tf.random.stateless_uniform([rows.of, TILES - 1], fold(seed, PARTNERS), 0, count, tf.int64)
    several = (draws[:, 0] < spec.probability) & on
    lengths = tf.constant(size, tf.float32)
    lines = tf.round(lengths * (CUT[0] + draws[:, 1:3] * (CUT[1] - CUT[0])))
    y, x = tf.unstack(tf.clip_by_value(lines, 1.0, lengths - 1), axis=1)
    top, left = tf.zeros_like(y), tf.zeros_like(x)
    bottom, right = tf.fill(tf.shape(y), lengths[0]), tf.fill(tf.shape(x), lengths[1])
    corners = ((top, left, y, x), (top, x, y, right), (y, left, bottom, x), (y, x, bottom, right))
    parts = tf.stack([tf.stack(sides, axis=1) for sides in corners], axis=1)
    whole = tf.broadcast_to(tf.constant([0.0, 0.0, *size]), tf.shape(parts))
    chosen = several[:, tf.newaxis]
    return alone | {
        "index": tf.concat([alone["index"], rows.taken(others)], axis=1),
        "factor": tf.where(chosen, log_uniform(draws[:, 3 : 3 + TILES], *spec.scale), alone["factor"]),
        "where": tf.where(chosen[..., tf.newaxis], tf.reshape(draws[:, 3 + TILES :], [-1, TILES, 2]), alone["where"]),
        "part": tf.where(chosen[..., tf.newaxis], parts, whole),
        "several": several,
    }
