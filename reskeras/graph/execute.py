"""Nodes of a plan as a pure function of tensors, for weights that come from outside: loops, recomputation, analysis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

import tensorflow as tf

from reskeras.graph.layers.batch_norm import fused_batch_norm
from reskeras.graph.layers.channels import pad_channels
from reskeras.graph.layers.dropout import drop
from reskeras.graph.layers.grouped import grouped_conv
from reskeras.graph.layers.merges import gated_add, scaled_add
from reskeras.graph.layers.padding import pad_edges
from reskeras.spec import operations as op
from reskeras.spec.plan import Fork, Sequence

Weights = dict[tuple[str, str], tf.Tensor]  # (operation, role) to tensor
# (node, what its branches gave or went into it, its output) to what to go on with
Watch = Callable[[Any, list[tf.Tensor], tf.Tensor], tf.Tensor]


@dataclass
class UnitTensors:
    """All that a unit's operations need besides its input.

    `weights` are already in the precision to compute in, batch norm's in float32. `learns` says whether
    batch norm uses the batch's statistics (in training, unless frozen); they are then put into
    `statistics`, as (mean, population variance) by operation. `draw` gives a dropout's rate and seeds. `watch`
    sees what each node makes, and says what to go on with.
    """

    weights: Weights
    training: bool
    learns: bool
    draw: Callable[[op.Dropout], tuple[tf.Tensor, tf.Tensor]]
    statistics: dict[str, tuple[tf.Tensor, tf.Tensor]] = field(default_factory=dict)
    watch: Watch | None = None


def execute(nodes: Sequence, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    """What `nodes` make of `x` (batch, height, width, channels)."""
    for node in nodes:
        if isinstance(node, Fork):
            parts = [execute(branch, x, unit) for branch in node.branches]
            made = merged(node, parts)
        else:
            parts, made = [x], apply(node, x, unit)
        x = unit.watch(node, parts, made) if unit.watch else made
    return x


def merged(fork: Fork, values: list[tf.Tensor]) -> tf.Tensor:
    """The merge of a fork's branches."""
    match fork.merge:
        case "add":
            return tf.add_n(values)
        case "concat":
            return tf.concat(values, axis=-1)
        case "multiply":
            product = values[0]
            for value in values[1:]:
                product = product * value
            return product
        case "scaled_add":
            return scaled_add(fork.factors, values)
        case "gated_add":
            return gated_add(values, fork.exclusive)


@singledispatch
def apply(node: Any, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    """What one operation makes of `x`."""
    raise TypeError(f"{type(node).__name__} has no pure function")


@apply.register
def _(node: op.Conv, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    x = grouped_conv(x, unit.weights[node.name, "kernel"], node.stride, node.padding)
    return tf.nn.bias_add(x, unit.weights[node.name, "bias"]) if node.bias else x


@apply.register
def _(node: op.BatchNorm, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    gamma = unit.weights[node.name, "gamma"] if node.scale else tf.ones([x.shape[-1]])
    moving = tuple(unit.weights[node.name, role] for role in ("moving_mean", "moving_variance"))
    y, *statistics = fused_batch_norm(x, gamma, unit.weights[node.name, "beta"], None if unit.learns else moving,
                                      node.epsilon)
    if unit.learns:
        unit.statistics[node.name] = tuple(statistics)
    return y


@apply.register
def _(node: op.Relu, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    return tf.nn.relu(x)


@apply.register
def _(node: op.Sigmoid, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    return tf.sigmoid(x)


@apply.register
def _(node: op.Pool, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    pool = {"max": tf.nn.max_pool2d, "average": tf.nn.avg_pool2d}[node.reduce]
    return pool(x, node.kernel, node.stride, node.padding.upper())


@apply.register
def _(node: op.GlobalPool, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    reduce = {"max": tf.reduce_max, "average": tf.reduce_mean}[node.reduce]
    return reduce(x, axis=(1, 2), keepdims=node.keep_positions)


@apply.register
def _(node: op.Flatten, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    return tf.reshape(x, [-1, node.output_shape(tuple(x.shape[1:]))[0]])


@apply.register
def _(node: op.Dense, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    x = tf.tensordot(x, unit.weights[node.name, "kernel"], axes=1)
    return x + unit.weights[node.name, "bias"] if node.bias else x


@apply.register
def _(node: op.Pad, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    return pad_edges(x, node.rows, node.columns) if node.border == "edge" else tf.pad(
        x, [[0, 0], node.rows, node.columns, [0, 0]])


@apply.register
def _(node: op.PadChannels, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    return pad_channels(x, node.channels)


@apply.register
def _(node: op.Scale, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    return x * tf.cast(node.factor, x.dtype)


@apply.register
def _(node: op.Dropout, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    if not unit.training:
        return x
    rate, seeds = unit.draw(node)
    return drop(x, rate, node.per_image, seeds)
