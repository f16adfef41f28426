"""Mirror padding, which a max-pool ignores: equivalent to PyTorch's padding of max pools."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

Sides = tuple[int, int]


def pad_edges(x: tf.Tensor, rows: Sides, columns: Sides) -> tf.Tensor:
    """`x` (batch, height, width, channels) with its mirror image around it, the edge itself repeated."""
    return tf.pad(x, [[0, 0], rows, columns, [0, 0]], mode="SYMMETRIC")


@keras.saving.register_keras_serializable(package="reskeras")
class EdgePadding2D(keras.layers.Layer):
    """(batch, height, width, channels) with rows above and below, columns left and right, of the mirror image."""

    def __init__(self, padding: tuple[Sides, Sides], **kwargs: Any):
        super().__init__(**kwargs)
        (top, bottom), (left, right) = padding
        self.padding: tuple[Sides, Sides] = (top, bottom), (left, right)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Pad by the mirror image."""
        return pad_edges(inputs, *self.padding)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shape with the rows and columns added, where they are known."""
        batch, *sizes, channels = input_shape
        return (batch, *(size and size + sum(sides) for size, sides in zip(sizes, self.padding, strict=True)), channels)

    def get_config(self) -> dict[str, Any]:
        """The layer's configuration."""
        return {**super().get_config(), "padding": self.padding}
