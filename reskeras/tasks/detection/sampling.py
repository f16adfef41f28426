"""Samples the anchors or regions of an image that a step trains on, with a bound on positive ones."""

from __future__ import annotations

import tensorflow as tf

from reskeras.tasks.detection.matching import NEGATIVE, NEITHER, POSITIVE


def sampled(kind: tf.Tensor, count: int, positives: int, seeds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(indices int32, weights float32), both (B, count), of a sample of N anchors by their `kind`, int32 (B, N).

    First at most `positives` POSITIVE ones, then NEGATIVE ones up to `count`, each drawn uniformly without replacement.
    Weights are 1, and 0 for padding, where the index is arbitrary in 0..N-1. The sample of an image depends only on its
    kinds and its row of `seeds`, int32 (B, 2).
    """
    last, positives = kind.shape[-1] - 1, min(positives, count)
    kind = tf.pad(kind, [[0, 0], [0, max(0, count - 1 - last)]], constant_values=NEITHER)
    order = _draws(seeds, kind.shape[-1])
    is_positive, is_negative = kind == POSITIVE, kind == NEGATIVE
    _, first = tf.math.top_k(tf.where(is_positive, order, -1), positives)
    _, then = tf.math.top_k(tf.where(is_negative, order, -1), count)
    taken = tf.minimum(_count(is_positive), positives)
    place = tf.range(count)
    source = tf.where(place < taken, place, place - taken + positives)
    indices = tf.gather(tf.concat([first, then], axis=-1), source, batch_dims=1)
    weights = tf.cast(place < taken + _count(is_negative), tf.float32)
    return tf.minimum(indices, last), weights


def folded(seeds: tf.Tensor, number: int) -> tf.Tensor:
    """Seeds int32 (B, 2) with `number` folded in, for independent draws."""
    return tf.map_fn(lambda seed: tf.random.experimental.stateless_fold_in(seed, number), seeds)


def _draws(seeds: tf.Tensor, length: int) -> tf.Tensor:
    """Non-negative int32 (B, length); integers, because of 2**23 possible floats many would collide."""
    return tf.map_fn(
        lambda seed: tf.random.stateless_uniform([length], seed, 0, tf.int32.max, tf.int32),
        seeds,
        fn_output_signature=tf.TensorSpec([length], tf.int32),
    )


def _count(which: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(which, tf.int32), axis=-1, keepdims=True)
