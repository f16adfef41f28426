"""cifar-resnet-20, -110 and resnet-50 as a Keras user writes them today, out of stock layers."""

from __future__ import annotations

import keras
from keras import layers


def build(name: str, channels: int = 3) -> keras.Model:
    """The network `name`: float images in, logits out."""
    return _bottlenecks() if name == "resnet-50" else _cifar((int(name.rpartition("-")[2]) - 2) // 6, channels)


def _conv(x, filters: int, kernel: int, stride: int = 1):
    x = layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def _cifar(units: int, channels: int) -> keras.Model:
    images = keras.Input((32, 32, channels))
    x = layers.ReLU()(_conv(images, 16, 3))
    for width in (16, 32, 64):
        for unit in range(units):
            stride = 2 if width > 16 and unit == 0 else 1
            shortcut = x
            if stride == 2:  # option A: every other pixel, and channels of zeros
                shortcut = layers.MaxPooling2D(1, strides=2)(x)
                shortcut = layers.Concatenate()([shortcut, layers.Rescaling(0.0)(shortcut)])
            x = _conv(layers.ReLU()(_conv(x, width, 3, stride)), width, 3)
            x = layers.ReLU()(layers.Add()([shortcut, x]))
    return keras.Model(images, layers.Dense(10, dtype="float32")(layers.GlobalAveragePooling2D()(x)))


def _bottlenecks() -> keras.Model:
    images = keras.Input((224, 224, 3))
    x = layers.ReLU()(_conv(images, 64, 7, 2))
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    for width, units, first in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for unit in range(units):
            stride = first if unit == 0 else 1
            shortcut = _conv(x, 4 * width, 1, stride) if unit == 0 else x
            y = layers.ReLU()(_conv(x, width, 1, stride))
            y = _conv(layers.ReLU()(_conv(y, width, 3)), 4 * width, 1)
            x = layers.ReLU()(layers.Add()([shortcut, y]))
    return keras.Model(images, layers.Dense(1000, dtype="float32")(layers.GlobalAveragePooling2D()(x)))
