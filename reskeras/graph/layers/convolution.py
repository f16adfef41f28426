"""Convolutions that train on every processor: by groups (ResNeXt, arXiv:1611.05431 figure 3 c); 1x1 with a stride."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import keras
import tensorflow as tf

Convolution = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
VECTOR = 16  # float32 numbers


def convolution(x: tf.Tensor, kernel: tf.Tensor, stride: tuple[int, int], padding: str) -> tf.Tensor:
    """Convolution of `x` (batch, height, width, channels) by `kernel` (rows, columns, channels of a group, filters).

    The number of groups follows from the shapes. One operation in the forward pass, which LiteRT has too; one by groups
    is never part of a fused one (see `_alone`). Where TensorFlow's kernels have no gradients (see `has_gradients`),
    these are computed group by group.
    """

    def native(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(x, kernel, stride, padding.upper())

    if x.shape[-1] == kernel.shape[2]:
        subsamples = tuple(kernel.shape[:2]) == (1, 1) and max(stride) > 1
        return (_subsampling(native, stride) if subsamples and x.shape[-1] < VECTOR else native)(x, kernel)
    return _alone(native(x, kernel) if has_gradients() else _differentiated(native)(x, kernel))


def _subsampling(native: Convolution, stride: tuple[int, int]) -> Convolution:
    """`native`, 1x1 with a stride, with the gradient of its kernel by the positions it looks at alone.

    For fewer channels than a vector holds, oneDNN's own writes beyond its memory, so that the process may crash
    (AVX-512, TensorFlow 2.21).
    """

    @tf.custom_gradient
    def convolution(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            of_x = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(x), filter=kernel, out_backprop=upstream, strides=[1, *stride, 1], padding="VALID"
            )
            seen = x[:, :: stride[0], :: stride[1]]
            of_kernel = tf.raw_ops.Conv2DBackpropFilter(
                input=seen, filter_sizes=kernel.shape, out_backprop=upstream, strides=[1, 1, 1, 1], padding="VALID"
            )
            return of_x, of_kernel

        return native(x, kernel), gradients

    return convolution


@tf.custom_gradient
def _alone(convolved: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """`convolved`, which Grappler then does not fuse with the bias or batch norm and the ReLU behind it.

    The plain CPU kernels (see `has_gradients`) have no fused convolution by groups and would stop at the first image.
    Done on every machine, as an exported network may be served on another.
    """
    return tf.raw_ops.Snapshot(input=convolved), lambda upstream: upstream


@cache
def has_gradients() -> bool:
    """Whether TensorFlow has gradients of grouped convolutions on this process's device.

    Those for GPUs and oneDNN (the default on x86) have; the plain CPU kernels, which run on other processors and under
    TF_ENABLE_ONEDNN_OPTS=0, refuse (TensorFlow 2.21).
    """
    with tf.init_scope():  # in which no tape records, so that the gradients' operations are asked themselves
        x, kernel, upstream = tf.ones([1, 3, 3, 4]), tf.ones([3, 3, 2, 4]), tf.ones([1, 3, 3, 4])
        window = {"out_backprop": upstream, "strides": [1, 1, 1, 1], "padding": "SAME"}
        try:
            tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=kernel, **window)
            tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=kernel.shape, **window)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            return False
        return True


def _differentiated(native: Convolution) -> Convolution:
    """`native` with gradients computed group by group."""

    @tf.custom_gradient
    def convolution(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        groups = x.shape[-1] // kernel.shape[2]

        def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            found = []
            parts = (tf.split(each, groups, axis=-1) for each in (x, kernel, upstream))
            for inputs, filters, above in zip(*parts, strict=True):
                with tf.GradientTape() as tape:
                    tape.watch([inputs, filters])
                    made = native(inputs, filters)
                found.append(tape.gradient(made, [inputs, filters], above))
            of_x, of_kernel = zip(*found, strict=True)
            return tf.concat(of_x, axis=-1), tf.concat(of_kernel, axis=-1)

        return native(x, kernel), gradients

    return convolution


class _Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` by `convolution`."""

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The convolution without bias."""
        return convolution(tf.convert_to_tensor(inputs), tf.convert_to_tensor(kernel), self.strides, self.padding)


@keras.saving.register_keras_serializable(package="reskeras")
class GroupedConv2D(_Conv2D):
    """`keras.layers.Conv2D` with groups, by TensorFlow's own kernels.

    Keras has XLA compile it, whose gradients take about a thousand times as long on a CPU (28x28x256, 32 groups).
    """


@keras.saving.register_keras_serializable(package="reskeras")
class SubsamplingConv2D(_Conv2D):
    """`keras.layers.Conv2D` of 1x1 with a stride, which trains with few channels too."""
