"""Batch normalisation through TensorFlow's fused kernel, equal to stock Keras within rounding."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="reskeras")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` on (batch, height, width, channels), computed by one kernel.

    Stock Keras 3 computes moments and normalises in separate ops, in float32 even under bf16. The fused
    kernel (oneDNN, cuDNN) reads bf16 and keeps statistics, scale and shift in float32. Anything it cannot
    do (other ranks, axes or dtypes, masks, synchronised or renormalised statistics) is left to stock Keras.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Normalise; with `training`, unless frozen, by the batch's own statistics, which also move ours."""
        fits = len(inputs.shape) == 4 and self.axis in (-1, 3) and mask is None
        fits = fits and self.variable_dtype == "float32" and inputs.dtype != tf.float64
        if not fits or self.synchronized or self.renorm:
            return super().call(inputs, training=training, mask=mask)
        learns = bool(training) and self.trainable
        channels = (inputs.shape[-1],)
        gamma = tf.convert_to_tensor(self.gamma) if self.scale else tf.ones(channels)
        beta = tf.convert_to_tensor(self.beta) if self.center else tf.zeros(channels)
        # the raw op, because tf.compat.v1.nn.fused_batch_norm raises epsilon to 1.001e-5
        outputs = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=gamma,
            offset=beta,
            mean=[] if learns else tf.convert_to_tensor(self.moving_mean),
            variance=[] if learns else tf.convert_to_tensor(self.moving_variance),
            epsilon=self.epsilon,
            is_training=learns,
        )
        if learns:
            self._move(outputs.batch_mean, outputs.batch_variance, inputs)
        return outputs.y

    def _move(self, mean: tf.Tensor, variance: tf.Tensor, inputs: tf.Tensor) -> None:
        # the kernel returns the sample variance (n - 1 below the line), stock Keras moves the population's
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), variance.dtype)
        population = variance * (tf.maximum(count - 1.0, 1.0) / count)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, population)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
