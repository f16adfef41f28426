"""Random images, to verify a ported network that has no data."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from reskeras.data.source import Source, Split

COUNT = 64
LABEL = "random images"


def noise_source(classes: Sequence[str], size: tuple[int, int, int]) -> Source:
    """Random pixels of `size`, the same each time, labelled by number alone: accuracies on them say nothing."""

    def split(name: str, seed: int) -> Split:
        def decode(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            drawn = tf.random.stateless_uniform(size, tf.stack([tf.constant(seed, tf.int64), index]), 0, 256, tf.int32)
            return tf.cast(drawn, tf.uint8), tf.cast(index % len(classes), tf.int32)

        return Split(name, COUNT, decode)

    return Source(LABEL, LABEL, tuple(classes), size[-1], split("train", 1), split("test", 2), divided="drawn")
