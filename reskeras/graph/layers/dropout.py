"""Dropout whose masks are a function of (seed, draw): equal in every form of a network, and after a resume."""

from __future__ import annotations

from typing import Any, TypeAlias

import keras
import tensorflow as tf

from reskeras.graph.layers.replicas import replica_seed

MANTISSA = 23  # bits of a float32

Seeds: TypeAlias = tf.Tensor  # int32 (2,): which operation, and how often it has drawn


def drop(x: tf.Tensor, rate: tf.Tensor | float, per_image: bool, seeds: Seeds) -> tf.Tensor:
    """`x` with elements, or with `per_image` whole images, set to 0 at `rate`; the rest times 1 / (1 - rate)."""
    shape = [tf.shape(x)[0]] + [1] * (len(x.shape) - 1) if per_image else tf.shape(x)
    rate = tf.cast(rate, tf.float32)
    kept = _uniform(shape, seeds) >= rate
    return x * tf.cast(tf.cast(kept, tf.float32) / (1.0 - rate), x.dtype)


def _uniform(shape: Any, seeds: Seeds) -> tf.Tensor:
    """float32 in 0..1, the numbers of `tf.random.stateless_uniform`: XLA makes others of the same random bits."""
    bits = tf.random.stateless_uniform(shape, seeds, None, None, tf.int32, alg="philox")
    return tf.cast(tf.bitwise.bitwise_and(bits, (1 << MANTISSA) - 1), tf.float32) * 2.0**-MANTISSA


@keras.saving.register_keras_serializable(package="reskeras")
class CountedDropout(keras.layers.Layer):
    """Dropout in training, nothing in inference. It counts its draws in a weight, which is saved and restored.

    Keras' own layer keeps its state in a seed generator, which no checkpoint holds.
    """

    def __init__(self, rate: float, per_image: bool = False, seed: int = 0, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)  # float32 features in the head stay float32 among bf16 units
        self.rate, self.per_image, self.seed = rate, per_image, seed

    def build(self, input_shape: tuple) -> None:
        """Make the counter."""
        self.draws = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="draws")

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Apply dropout and count the draw."""
        if not training:
            return inputs
        seeds = tf.stack([replica_seed(tf.constant(self.seed, tf.int32)), tf.convert_to_tensor(self.draws)])
        outputs = drop(inputs, self.rate, self.per_image, seeds)
        self.draws.assign(self.draws + 1)
        return outputs

    def compute_output_spec(self, inputs: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """Shape and dtype of the input."""
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """The layer's configuration."""
        return {**super().get_config(), "rate": self.rate, "per_image": self.per_image, "seed": self.seed}
