"""The tensor function of each kind of operation and merge, for the layers that stock Keras lacks, the loop over units
and analysis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from reskeras.graph.layers.batch_norm import fused_batch_norm
from reskeras.graph.layers.convolution import convolution
from reskeras.graph.layers.dropout import drop
from reskeras.graph.layers.padding import pad_edges
from reskeras.graph.layers.quantisation import integer_convolution, rounded_activations, rounded_in_its_range
from reskeras.plans import merges
from reskeras.plans import operations as op
from reskeras.plans.integers import Negate, Offset
from reskeras.plans.nodes import Fork, Sequence, fold

Weights = dict[tuple[str, str], tf.Tensor]  # (operation, role) to tensor
# (node, its branches' outputs or its input, its output) to the output to continue with
Watch = Callable[[Any, list[tf.Tensor], tf.Tensor], tf.Tensor]


@dataclass
class UnitTensors:
    """Everything that a unit's operations need besides its input.

    `weights` are already in the precision to compute in, batch norm's in float32. `learns` says whether
    batch norm uses the batch's statistics (in training, unless frozen); they are then put into
    `statistics`, as (mean, population variance) by operation. `draw` gives a dropout's rate and seeds. `watch`
    gets each node's output and returns the one to continue with.
    """

    weights: Weights
    training: bool
    learns: bool
    draw: Callable[[op.Dropout], tuple[tf.Tensor, tf.Tensor]]
    statistics: dict[str, tuple[tf.Tensor, tf.Tensor]] = field(default_factory=dict)
    watch: Watch | None = None


def execute(nodes: Sequence, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    """Apply `nodes` to `x` (batch, height, width, channels)."""

    def seen(node: op.Op | Fork, parts: list[tf.Tensor], made: tf.Tensor) -> tf.Tensor:
        return unit.watch(node, parts, made) if unit.watch else made

    return fold(
        nodes,
        x,
        lambda node, x: seen(node, [x], OPERATIONS[type(node)](node, x, unit)),
        lambda fork, parts: seen(fork, parts, merged(fork.merge, parts)),
    )


def merged(merge: merges.Merge, values: list[tf.Tensor]) -> tf.Tensor:
    """The merge of a fork's branches."""
    return MERGES[type(merge)](merge, values)


def _conv(node: op.Conv, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    kernel, how = unit.weights[node.name, "kernel"], (node.stride, node.padding)
    x = integer_convolution(x, kernel, *how, node.weight_bits) if node.weight_bits else convolution(x, kernel, *how)
    return tf.nn.bias_add(x, unit.weights[node.name, "bias"]) if node.bias else x


def _batch_norm(node: op.BatchNorm, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    gamma = unit.weights[node.name, "gamma"] if node.scale else tf.ones([x.shape[-1]])
    moving = tuple(unit.weights[node.name, role] for role in ("moving_mean", "moving_variance"))
    y, *statistics = fused_batch_norm(
        x, gamma, unit.weights[node.name, "beta"], None if unit.learns else moving, node.epsilon
    )
    if unit.learns:
        unit.statistics[node.name] = tuple(statistics)
    return y


def _relu(node: op.Relu, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    return tf.nn.relu(x)


def _gelu(node: op.Gelu, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    return tf.nn.gelu(x)


def _silu(node: op.Silu, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    return tf.nn.silu(x)


def _sigmoid(node: op.Sigmoid, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    return tf.sigmoid(x)


def _pool(node: op.Pool, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    pool = {"max": tf.nn.max_pool2d, "average": tf.nn.avg_pool2d}[node.reduce]
    return pool(x, node.kernel, node.stride, node.padding.upper())


def _global_pool(node: op.GlobalPool, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    reduce = {"max": tf.reduce_max, "average": tf.reduce_mean}[node.reduce]
    return reduce(x, axis=(1, 2), keepdims=node.keep_positions)


def _flatten(node: op.Flatten, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    return tf.reshape(x, [-1, node.output_shape(tuple(x.shape[1:]))[0]])


def _dense(node: op.Dense, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    x = tf.tensordot(x, unit.weights[node.name, "kernel"], axes=1)
    return x + unit.weights[node.name, "bias"] if node.bias else x


def _pad(node: op.Pad, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    return (
        pad_edges(x, node.rows, node.columns)
        if node.border == "edge"
        else tf.pad(x, [[0, 0], node.rows, node.columns, [0, 0]])
    )


def _pad_channels(node: op.PadChannels, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    return tf.pad(x, [[0, 0]] * (len(x.shape) - 1) + [[0, node.channels - x.shape[-1]]])


def _scale(node: op.Scale, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    x = tf.cast(x, tf.float32) if node.float32 else x
    return x * tf.cast(node.factor, x.dtype)


def _dropout(node: op.Dropout, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    if not unit.training:
        return x
    rate, seeds = unit.draw(node)
    return drop(x, rate, node.per_image, seeds)


def _quantise(node: op.Quantise, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    ends = [unit.weights[node.like or node.name, end] for end in ("low", "high")] if not node.fixed else node.fixed
    return rounded_activations(x, *ends)


def _offset(node: Offset, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    return x + rounded_in_its_range(unit.weights[node.name, "map"])


def _negate(node: Negate, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    return -x


OPERATIONS: dict[type[op.Op], Callable[[Any, tf.Tensor, UnitTensors], tf.Tensor]] = {
    op.Conv: _conv,
    op.BatchNorm: _batch_norm,
    op.Relu: _relu,
    op.Gelu: _gelu,
    op.Silu: _silu,
    op.Sigmoid: _sigmoid,
    op.Pool: _pool,
    op.GlobalPool: _global_pool,
    op.Flatten: _flatten,
    op.Dense: _dense,
    op.Pad: _pad,
    op.PadChannels: _pad_channels,
    op.Scale: _scale,
    op.Dropout: _dropout,
    op.Quantise: _quantise,
    Offset: _offset,
    Negate: _negate,
}


def _add(merge: merges.Add, values: list[tf.Tensor]) -> tf.Tensor:
    return tf.add_n(values)


def _scaled_add(merge: merges.ScaledAdd, values: list[tf.Tensor]) -> tf.Tensor:
    """Factors of 1 are not multiplied by, and branches with a factor of 0 are left out."""
    pairs = zip(merge.factors, values, strict=True)
    terms = [value if factor == 1 else value * factor for factor, value in pairs if factor != 0]
    return sum(terms[1:], terms[0])  # tf.add_n is an op that LiteRT has no int16 kernel for


def _gated_add(merge: merges.GatedAdd, values: list[tf.Tensor]) -> tf.Tensor:
    shortcut, residual, gate = values
    return shortcut * (1 - gate) + (residual * gate if merge.exclusive else residual)


def _multiply(merge: merges.Multiply, values: list[tf.Tensor]) -> tf.Tensor:
    product = values[0]
    for value in values[1:]:
        product = product * value
    return product


def _concat(merge: merges.Concat, values: list[tf.Tensor]) -> tf.Tensor:
    return tf.concat(values, axis=-1)


MERGES: dict[type[merges.Merge], Callable[[Any, list[tf.Tensor]], tf.Tensor]] = {
    merges.Add: _add,
    merges.ScaledAdd: _scaled_add,
    merges.GatedAdd: _gated_add,
    merges.Multiply: _multiply,
    merges.Concat: _concat,
}

for _kinds, _known in ((op.OPERATIONS, OPERATIONS), (merges.MERGES, MERGES)):
    if _missing := [kind.__name__ for kind in _kinds.values() if kind not in _known]:
        raise TypeError(f"no tensor function for {', '.join(_missing)}; add one in {__name__}")
