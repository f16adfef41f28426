"""Merges of a shortcut and a residual that stock Keras lacks (v2 section 3.1, figure 2 b to d)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


def scaled_add(factors: tuple[float, ...], values: list[tf.Tensor]) -> tf.Tensor:
    """Sum of `values` times `factors`; a factor of 1 multiplies nothing, one of 0 leaves its value out."""
    pairs = zip(factors, values, strict=True)
    terms = [value if factor == 1 else value * factor for factor, value in pairs if factor != 0]
    return sum(terms[1:], terms[0])  # tf.add_n is an op that LiteRT has no int16 kernel for


def gated_add(values: list[tf.Tensor], exclusive: bool) -> tf.Tensor:
    """Of [shortcut, residual, gate]: shortcut x (1 - gate) + residual, `exclusive` residual x gate."""
    shortcut, residual, gate = values
    return shortcut * (1 - gate) + (residual * gate if exclusive else residual)


@keras.saving.register_keras_serializable(package="reskeras")
class ScaledAdd(keras.layers.Layer):
    """Sum of its inputs (all of one shape), input i times `factors[i]`."""

    def __init__(self, factors: tuple[float, ...], **kwargs: Any):
        super().__init__(**kwargs)
        self.factors = tuple(factors)

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """The weighted sum."""
        return scaled_add(self.factors, inputs)

    def compute_output_shape(self, input_shape: list[tuple]) -> tuple:
        """Shape of any one input."""
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {**super().get_config(), "factors": self.factors}


@keras.saving.register_keras_serializable(package="reskeras")
class GatedAdd(keras.layers.Layer):
    """shortcut x (1 - gate) + residual, which with `exclusive` is also multiplied by the gate.

    Inputs: [shortcut, residual, gate] of one shape, the gate in (0, 1).
    """

    def __init__(self, exclusive: bool, **kwargs: Any):
        super().__init__(**kwargs)
        self.exclusive = exclusive

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Merge the two paths by the gate."""
        return gated_add(inputs, self.exclusive)

    def compute_output_shape(self, input_shape: list[tuple]) -> tuple:
        """Shape of any one input."""
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {**super().get_config(), "exclusive": self.exclusive}
