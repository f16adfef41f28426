"""Rounding to integers in a graph that computes in float32, with the gradients of what is rounded."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from reskeras.graph.layers.convolution import convolution
from reskeras.graph.layers.replicas import with_mean_over_replicas

BITS = 8
MOMENTUM = 0.97  # ranges forget what was 100 steps ago: 0.97 ** 100 is 5 %
LEAST = 1e-8


def rounded_activations(x: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """`x` rounded to 256 values from `low` to `high`, which are moved a little so that zero is one of them."""
    return tf.quantization.fake_quant_with_min_max_vars(x, low, high, BITS)


def rounded_in_its_range(x: tf.Tensor) -> tf.Tensor:
    """As `rounded_activations`, in the range of `x` itself."""
    return rounded_activations(x, tf.minimum(tf.reduce_min(x), 0.0), tf.maximum(tf.reduce_max(x), 0.0))


def rounded_kernel(kernel: tf.Tensor, bits: int) -> tf.Tensor:
    """`kernel` (rows, columns, inputs, filters) as integers of `bits`, symmetric, with a step for each filter."""
    most = tf.stop_gradient(tf.maximum(tf.reduce_max(tf.abs(kernel), axis=(0, 1, 2)), LEAST))
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(kernel, -most, most, bits, narrow_range=True)


def kernel_step(kernel: np.ndarray, bits: int) -> np.ndarray:
    """The step of the integers that `rounded_kernel` rounds to, float32 (filters,)."""
    most = np.maximum(np.abs(kernel).max(axis=(0, 1, 2)), np.float32(LEAST))
    return (most / np.float32(2 ** (bits - 1) - 1)).astype(np.float32)


def whole_kernel(kernel: np.ndarray, bits: int) -> np.ndarray:
    """The integers that `rounded_kernel` rounds to, as float32."""
    rounded = rounded_kernel(tf.constant(kernel), bits).numpy()
    return np.rint(rounded / kernel_step(kernel, bits)).astype(np.float32)


def integer_convolution(x: tf.Tensor, kernel: tf.Tensor, stride: tuple[int, int], padding: str, bits: int) -> tf.Tensor:
    """As `by_channel_or_not`, by a kernel of integers."""
    return by_channel_or_not(x, rounded_kernel(kernel, bits), stride, padding)


def by_channel_or_not(x: tf.Tensor, kernel: tf.Tensor, stride: tuple[int, int], padding: str) -> tf.Tensor:
    """As `convolution`; with a group for each channel it is a depthwise one, of which converters make integers."""
    if x.shape[-1] == kernel.shape[3] and kernel.shape[2] == 1 and x.shape[-1] > 1:
        depthwise = tf.transpose(kernel, [0, 1, 3, 2])
        return tf.nn.depthwise_conv2d(x, depthwise, [1, *stride, 1], padding.upper())
    return convolution(x, kernel, stride, padding)


@keras.saving.register_keras_serializable(package="reskeras")
class IntegerConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` whose kernel is rounded to integers of `weight_bits`."""

    def __init__(self, *args: object, weight_bits: int = BITS, **kwargs: object):
        super().__init__(*args, **kwargs)
        self.weight_bits = weight_bits

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The convolution without bias."""
        return integer_convolution(
            tf.convert_to_tensor(inputs), tf.convert_to_tensor(kernel), self.strides, self.padding, self.weight_bits
        )

    def get_config(self) -> dict:
        """The layer's configuration."""
        return {**super().get_config(), "weight_bits": self.weight_bits}


@keras.saving.register_keras_serializable(package="reskeras")
class Quantise(keras.layers.Layer):
    """Rounds to 8-bit integers in a range: `fixed`, or one that follows what comes in during training.

    Called at several places, it rounds to one range; only the first call widens or narrows it.
    """

    def __init__(self, fixed: tuple[float, float] | None = None, **kwargs: object):
        super().__init__(**kwargs)
        self.fixed = tuple(fixed) if fixed else None

    def build(self, input_shape: tuple) -> None:
        """Make the two ends of the range."""
        if not self.fixed:
            self.low, self.high = (
                self.add_weight(shape=(), initializer="zeros", trainable=False, name=name) for name in ("low", "high")
            )

    def call(self, inputs: tf.Tensor, training: bool | None = None, like: bool = False) -> tf.Tensor:
        """Round; in training first move the range towards that of the batch."""
        if self.fixed:
            return rounded_activations(inputs, *(tf.constant(end, tf.float32) for end in self.fixed))
        if training and self.trainable and not like:
            batch = [tf.minimum(tf.reduce_min(inputs), 0.0), tf.maximum(tf.reduce_max(inputs), 0.0)]
            with_mean_over_replicas([tf.stop_gradient(end) for end in batch], self._move)
        return rounded_activations(inputs, tf.convert_to_tensor(self.low), tf.convert_to_tensor(self.high))

    def _move(self, batch: list[tf.Tensor]) -> None:
        for end, new in zip((self.low, self.high), batch, strict=True):
            end.assign(tf.convert_to_tensor(end) * MOMENTUM + new * (1 - MOMENTUM))

    def get_config(self) -> dict:
        """The layer's configuration."""
        return {**super().get_config(), "fixed": self.fixed}
