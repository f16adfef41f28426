"""Convolutions that begin as the identity on some of their channels."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="reskeras")
class Dirac(keras.initializers.VarianceScaling):
    """VarianceScaling, but of a convolution's kernel (rows, columns, channels, filters) filter i is the identity on
    channel i, as far as there are both: as in hlb-CIFAR10 and airbench (arXiv:2404.00498, section 3.1).

    The centre of an even window is the position after its middle, as in torch.nn.init.dirac_.
    """

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> tf.Tensor:
        """The initial values of a weight; of one that is no convolution's kernel VarianceScaling's."""
        drawn = super().__call__(shape, dtype)
        if len(shape) != 4:
            return drawn
        rows, columns, channels, filters = shape
        centre = tf.one_hot(rows // 2, rows)[:, None] * tf.one_hot(columns // 2, columns)
        identity = centre[:, :, None, None] * tf.eye(channels, filters)
        return tf.where(tf.range(filters) < channels, tf.cast(identity, drawn.dtype), drawn)
