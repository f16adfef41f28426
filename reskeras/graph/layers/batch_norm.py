"""Batch normalisation through TensorFlow's fused kernel, equal to stock Keras within rounding."""

from __future__ import annotations

import keras
import tensorflow as tf

from reskeras.graph.layers.replicas import sum_over_replicas, with_mean_over_replicas


@keras.saving.register_keras_serializable(package="reskeras")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` on (batch, height, width, channels), computed by one kernel.

    Stock Keras 3 computes moments and normalises in separate ops, in float32 even under bf16. The fused
    kernel (oneDNN, cuDNN) reads bf16 and keeps statistics, scale and shift in float32. Anything it cannot
    do (other ranks, axes or dtypes, masks, synchronised or renormalised statistics) is left to stock Keras, whose
    private `_moments` it overrides for fewer reductions; setup.py bounds the version.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Normalise; in training, unless frozen, by the batch's statistics, which also update the moving ones."""
        fits = len(inputs.shape) == 4 and self.axis in (-1, 3) and mask is None
        fits = fits and self.variable_dtype == "float32" and inputs.dtype != tf.float64
        if not fits or self.synchronized or self.renorm:
            return super().call(inputs, training=training, mask=mask)
        learns = bool(training) and self.trainable
        channels = (inputs.shape[-1],)
        outputs, mean, variance = fused_batch_norm(
            inputs,
            gamma=tf.convert_to_tensor(self.gamma) if self.scale else tf.ones(channels),
            beta=tf.convert_to_tensor(self.beta) if self.center else tf.zeros(channels),
            moving=None if learns else tuple(map(tf.convert_to_tensor, (self.moving_mean, self.moving_variance))),
            epsilon=self.epsilon,
        )
        if learns:
            with_mean_over_replicas([mean, variance], self._move)
        return outputs

    def _moments(self, inputs: tf.Tensor, mask: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and variance as stock Keras computes them; over replicas by one reduction, of sums, sums of squares and
        the count together, instead of three."""
        if not self.synchronized or mask is not None or inputs.dtype != tf.float32:
            return super()._moments(inputs, mask)
        axes, channels = self._reduction_axes, inputs.shape[-1]
        count = tf.cast(tf.size(inputs) // channels, tf.float32)
        parts = [tf.reduce_sum(inputs, axes), tf.reduce_sum(tf.square(inputs), axes), count[tf.newaxis]]
        total, squares, count = tf.split(sum_over_replicas(tf.concat(parts, axis=0)), [channels, channels, 1])
        mean = tf.math.divide_no_nan(total, count)
        return mean, tf.maximum(tf.math.divide_no_nan(squares, count) - tf.square(mean), 0.0)

    def _move(self, statistics: list[tf.Tensor]) -> None:
        for moving, batch in zip((self.moving_mean, self.moving_variance), statistics, strict=True):
            moving.assign(moved(tf.convert_to_tensor(moving), batch, self.momentum))


def fused_batch_norm(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, moving: tuple[tf.Tensor, tf.Tensor] | None, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """(x normalised, mean, population variance) of x (batch, height, width, channels), by one kernel.

    By `moving` (mean, variance) where it is given, else by the batch's own statistics.
    """
    mean, variance = moving or ([], [])
    outputs = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=mean, variance=variance, epsilon=epsilon, is_training=moving is None
    )
    if moving is not None:
        return outputs.y, mean, variance
    # the kernel returns the sample variance (divided by n - 1), stock Keras tracks the population's
    values = tf.cast(tf.size(x), outputs.batch_variance.dtype)
    return outputs.y, outputs.batch_mean, outputs.batch_variance * (1.0 - x.shape[-1] / values)


def moved(moving: tf.Tensor, batch: tf.Tensor, momentum: float) -> tf.Tensor:
    """A moving statistic updated by a batch's."""
    return moving * momentum + batch * (1.0 - momentum)
