"""Zero channels for the parameter-free shortcut (v1 section 3.3, option A)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


def pad_channels(x: tf.Tensor, channels: int) -> tf.Tensor:
    """Zeros after the last axis of `x`, up to `channels`."""
    return tf.pad(x, [[0, 0]] * (len(x.shape) - 1) + [[0, channels - x.shape[-1]]])


@keras.saving.register_keras_serializable(package="reskeras")
class PadChannels(keras.layers.Layer):
    """(batch, ..., c) to (batch, ..., channels): zeros after the channels there are."""

    def __init__(self, channels: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.channels = channels

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Pad the last axis with zeros up to `channels`."""
        return pad_channels(inputs, self.channels)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shape with `channels` last."""
        return (*input_shape[:-1], self.channels)

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {**super().get_config(), "channels": self.channels}
