"""One Keras layer for each kind of operation and merge of a plan."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch
from typing import Any
from zlib import crc32

import keras
from keras import layers

from reskeras.graph.layers import (
    CountedDropout,
    EdgePadding2D,
    FusedBatchNormalization,
    GatedAdd,
    GroupedConv2D,
    PadChannels,
    ScaledAdd,
)
from reskeras.spec import operations as op
from reskeras.spec.initialisers import INITIALISERS
from reskeras.spec.plan import Fork


@dataclass(frozen=True)
class Context:
    """What all layers of one model share: the precision they compute in, the seed they start from, and whether
    batch norm takes its statistics over all replicas."""

    precision: str = "float32"
    seed: int | None = None
    synchronized: bool = False

    def layer(self, node: op.Op | Fork) -> keras.layers.Layer:
        """The layer of an operation or of a fork's merge, named as the node is."""
        return layer_of(node, self)

    def seed_of(self, name: str) -> int | None:
        """A seed for one operation, so that its start does not depend on what else is in the model."""
        return None if self.seed is None else crc32(f"{self.seed}/{name}".encode()) & 0x7FFFFFFF

    def drawn_seed(self, name: str) -> int:
        """As `seed_of`, but without a seed of the model's one that is drawn now."""
        seed = self.seed_of(name)
        return secrets.randbelow(2**31) if seed is None else seed

    def initialiser(self, kind: str, name: str) -> keras.initializers.Initializer:
        """The initialiser `kind`, seeded for the operation `name`."""
        return keras.initializers.VarianceScaling(**INITIALISERS[kind], seed=self.seed_of(name))


@singledispatch
def layer_of(node: Any, context: Context) -> keras.layers.Layer:
    """The Keras layer for a node of a plan."""
    raise TypeError(f"no layer for {type(node).__name__}")


@layer_of.register
def _(node: op.Conv, context: Context) -> keras.layers.Layer:
    make = GroupedConv2D if node.groups > 1 else layers.Conv2D
    return make(
        node.filters, node.kernel, strides=node.stride, padding=node.padding, groups=node.groups, use_bias=node.bias,
        kernel_initializer=context.initialiser(node.initialiser, node.name),
        bias_initializer=keras.initializers.Constant(node.bias_start),
        name=node.name, dtype=context.precision,
    )


@layer_of.register
def _(node: op.BatchNorm, context: Context) -> keras.layers.Layer:
    return FusedBatchNormalization(
        momentum=node.momentum, epsilon=node.epsilon, scale=node.scale,
        gamma_initializer=keras.initializers.Constant(node.gamma_start), synchronized=context.synchronized,
        name=node.name, dtype=context.precision,
    )


@layer_of.register
def _(node: op.Relu, context: Context) -> keras.layers.Layer:
    return layers.ReLU(name=node.name, dtype=context.precision)


@layer_of.register
def _(node: op.Sigmoid, context: Context) -> keras.layers.Layer:
    return layers.Activation("sigmoid", name=node.name, dtype=context.precision)


@layer_of.register
def _(node: op.Pool, context: Context) -> keras.layers.Layer:
    make: Callable = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}[node.reduce]
    return make(node.kernel, strides=node.stride, padding=node.padding, name=node.name, dtype=context.precision)


@layer_of.register
def _(node: op.GlobalPool, context: Context) -> keras.layers.Layer:
    make: Callable = {"max": layers.GlobalMaxPooling2D, "average": layers.GlobalAveragePooling2D}[node.reduce]
    # features are float32 whatever the units compute in: bf16 keeps three digits of a mean
    precision = context.precision if node.keep_positions else "float32"
    return make(keepdims=node.keep_positions, name=node.name, dtype=precision)


@layer_of.register
def _(node: op.Flatten, context: Context) -> keras.layers.Layer:
    return layers.Flatten(name=node.name, dtype=context.precision)


@layer_of.register
def _(node: op.Dense, context: Context) -> keras.layers.Layer:
    initialiser = context.initialiser(node.initialiser, node.name)
    return layers.Dense(node.units, use_bias=node.bias, kernel_initializer=initialiser, name=node.name, dtype="float32")


@layer_of.register
def _(node: op.Pad, context: Context) -> keras.layers.Layer:
    make = {"zero": layers.ZeroPadding2D, "edge": EdgePadding2D}[node.border]
    return make((node.rows, node.columns), name=node.name, dtype=context.precision)


@layer_of.register
def _(node: op.PadChannels, context: Context) -> keras.layers.Layer:
    return PadChannels(node.channels, name=node.name, dtype=context.precision)


@layer_of.register
def _(node: op.Scale, context: Context) -> keras.layers.Layer:
    return layers.Rescaling(node.factor, name=node.name, dtype=context.precision)


@layer_of.register
def _(node: op.Dropout, context: Context) -> keras.layers.Layer:
    return CountedDropout(node.rate, node.per_image, context.drawn_seed(node.name), name=node.name,
                          dtype=context.precision)


@layer_of.register
def _(node: Fork, context: Context) -> keras.layers.Layer:
    arguments = {"name": node.name, "dtype": context.precision}
    match node.merge:
        case "add":
            return layers.Add(**arguments)
        case "concat":
            return layers.Concatenate(**arguments)
        case "multiply":
            return layers.Multiply(**arguments)
        case "scaled_add":
            return ScaledAdd(node.factors, **arguments)
        case "gated_add":
            return GatedAdd(node.exclusive, **arguments)
