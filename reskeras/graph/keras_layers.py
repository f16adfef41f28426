"""The Keras layer of each kind of operation and merge: stock Keras where that is good enough."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from zlib import crc32

import keras
from keras import layers

from reskeras.errors import ReskerasError
from reskeras.graph.layers import (
    CountedDropout,
    Dirac,
    EdgePadding2D,
    FusedBatchNormalization,
    GroupedConv2D,
    IntegerConv2D,
    Quantise,
    SubsamplingConv2D,
)
from reskeras.graph.own_layers import OperationLayer, own_layer
from reskeras.plans import merges
from reskeras.plans import operations as op
from reskeras.plans.initialisers import IDENTITIES, INITIALISERS
from reskeras.plans.integers import Negate, Offset
from reskeras.plans.nodes import Fork
from reskeras.plans.plan_data import field_values


@dataclass(frozen=True)
class Context:
    """How the layers of one model are made.

    `precision` is a Keras dtype policy; pooled features and logits are float32 whatever it is. With a `seed` the
    initial weights of each operation depend on the seed and the operation's name alone. `form`: `unrolled` makes each
    operation a layer; `scanned` makes each run of equal units one layer with stacked weights and a loop; with
    `recompute` the activations inside its units are recomputed in the backward pass. `synchronized` takes batch norm's
    statistics over all replicas, which a loop cannot do: ReskerasError.
    """

    precision: str = "float32"
    seed: int | None = None
    form: str = "unrolled"
    recompute: bool = False
    synchronized: bool = False
    ranges: dict[str, keras.layers.Layer] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse a loop over units whose batch norms would meet other replicas."""
        if self.synchronized and self.form == "scanned":
            raise ReskerasError(
                "sync_bn: replicas cannot synchronise inside a loop over units; choose form unrolled or auto"
            )

    def layer(self, node: op.Op | Fork) -> keras.layers.Layer:
        """The layer of an operation or of a fork's merge, named as the node is."""
        record = node.merge if isinstance(node, Fork) else node
        if make := STOCK.get(type(record)):
            return make(node, self)
        layer = OWN[type(record)](**{**field_values(record), "name": node.name, "dtype": self.precision})
        if isinstance(layer, OperationLayer):
            layer.start = lambda weight: self.start(weight, node.name)
        return layer

    def seed_of(self, name: str) -> int | None:
        """A seed for one operation, so that its initial weights do not depend on the rest of the model."""
        return None if self.seed is None else crc32(f"{self.seed}/{name}".encode()) & 0x7FFFFFFF

    def drawn_seed(self, name: str) -> int:
        """As `seed_of`, but a random seed where the model has none."""
        seed = self.seed_of(name)
        return secrets.randbelow(2**31) if seed is None else seed

    def initialiser(self, kind: str, name: str) -> keras.initializers.Initializer:
        """The initialiser `kind`, seeded for the operation `name`."""
        make = Dirac if kind in IDENTITIES else keras.initializers.VarianceScaling
        return make(**INITIALISERS[kind], seed=self.seed_of(name))

    def start(self, weight: op.Weight, name: str) -> keras.initializers.Initializer:
        """The initialiser of a weight of the operation `name`."""
        if isinstance(weight.start, str):
            return self.initialiser(weight.start, name)
        return keras.initializers.Constant(weight.start)


PLAIN = Context()


def _conv(node: op.Conv, context: Context) -> keras.layers.Layer:
    make: Callable = GroupedConv2D if node.groups > 1 else SubsamplingConv2D if node.subsamples else layers.Conv2D
    if node.weight_bits:
        make = partial(IntegerConv2D, weight_bits=node.weight_bits)
    return make(
        node.filters,
        node.kernel,
        strides=node.stride,
        padding=node.padding,
        groups=node.groups,
        use_bias=node.bias,
        kernel_initializer=context.initialiser(node.initialiser, node.name),
        bias_initializer=keras.initializers.Constant(node.bias_start),
        name=node.name,
        dtype=context.precision,
    )


def _batch_norm(node: op.BatchNorm, context: Context) -> keras.layers.Layer:
    return FusedBatchNormalization(
        momentum=node.momentum,
        epsilon=node.epsilon,
        scale=node.scale,
        gamma_initializer=keras.initializers.Constant(node.gamma_start),
        synchronized=context.synchronized,
        name=node.name,
        dtype=context.precision,
    )


def _relu(node: op.Relu, context: Context) -> keras.layers.Layer:
    return layers.ReLU(name=node.name, dtype=context.precision)


def _activation(node: op.Sigmoid | op.Gelu | op.Silu, context: Context) -> keras.layers.Layer:
    return layers.Activation(node.kind, name=node.name, dtype=context.precision)


def _pool(node: op.Pool, context: Context) -> keras.layers.Layer:
    make: Callable = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}[node.reduce]
    return make(node.kernel, strides=node.stride, padding=node.padding, name=node.name, dtype=context.precision)


def _global_pool(node: op.GlobalPool, context: Context) -> keras.layers.Layer:
    make: Callable = {"max": layers.GlobalMaxPooling2D, "average": layers.GlobalAveragePooling2D}[node.reduce]
    # features are float32 whatever the units compute in: bf16 keeps three digits of a mean
    precision = context.precision if node.keep_positions else "float32"
    return make(keepdims=node.keep_positions, name=node.name, dtype=precision)


def _flatten(node: op.Flatten, context: Context) -> keras.layers.Layer:
    return layers.Flatten(name=node.name, dtype=context.precision)


def _dense(node: op.Dense, context: Context) -> keras.layers.Layer:
    return layers.Dense(
        node.units,
        use_bias=node.bias,
        kernel_initializer=context.initialiser(node.initialiser, node.name),
        bias_initializer=keras.initializers.Constant(node.bias_start) if node.bias_start else "zeros",
        name=node.name,
        dtype="float32" if node.float32 else context.precision,
    )


def _pad(node: op.Pad, context: Context) -> keras.layers.Layer:
    make = {"zero": layers.ZeroPadding2D, "edge": EdgePadding2D}[node.border]
    return make((node.rows, node.columns), name=node.name, dtype=context.precision)


def _scale(node: op.Scale, context: Context) -> keras.layers.Layer:
    return layers.Rescaling(node.factor, name=node.name, dtype="float32" if node.float32 else context.precision)


def _dropout(node: op.Dropout, context: Context) -> keras.layers.Layer:
    return CountedDropout(
        node.rate, node.per_image, context.drawn_seed(node.name), name=node.name, dtype=context.precision
    )


def _quantise(node: op.Quantise, context: Context) -> keras.layers.Layer:
    if node.like:
        return partial(context.ranges[node.like], like=True)
    layer = context.ranges[node.name] = Quantise(node.fixed, name=node.name, dtype=context.precision)
    return layer


def _merging(make: type[keras.layers.Layer]) -> Maker:
    return lambda node, context: make(name=node.name, dtype=context.precision)


Maker = Callable[[Any, Context], keras.layers.Layer]
STOCK: dict[type, Maker] = {
    op.Conv: _conv,
    op.BatchNorm: _batch_norm,
    op.Relu: _relu,
    op.Gelu: _activation,
    op.Silu: _activation,
    op.Sigmoid: _activation,
    op.Pool: _pool,
    op.GlobalPool: _global_pool,
    op.Flatten: _flatten,
    op.Dense: _dense,
    op.Pad: _pad,
    op.Scale: _scale,
    op.Dropout: _dropout,
    op.Quantise: _quantise,
    merges.Add: _merging(layers.Add),
    merges.Multiply: _merging(layers.Multiply),
    merges.Concat: _merging(layers.Concatenate),
}
KINDS: tuple[type[op.Op] | type[merges.Merge], ...] = (*op.OPERATIONS.values(), Negate, Offset, *merges.MERGES.values())
OWN = {kind: own_layer(kind) for kind in KINDS if kind not in STOCK}
