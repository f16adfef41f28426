"""The integer form computed in whole numbers, as runtimes for 8-bit integers do: what their files are compared with.

A graph that rounds in float32 (`layers/quantisation.py`) has gradients and is what converters read, but its sums carry
rounding errors of their own, which tip one value in 100,000 to the next step; after fifty layers that has reached half
of the logits. Here sums are exact, and brought to the next step as the
runtime does it (`integer_rounding.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.graph.integer_rounding import (
    LITE,
    Arithmetic,
    Joined,
    Rounded,
    Sum,
    Value,
    clipped,
    quantised,
    step_and_zero,
)
from reskeras.graph.layers.quantisation import BITS, by_channel_or_not, kernel_step, whole_kernel
from reskeras.plans import merges
from reskeras.plans import operations as op
from reskeras.plans.integers import Negate, Offset
from reskeras.plans.nodes import Fork, fold
from reskeras.plans.operation import Op
from reskeras.plans.plan import Plan

Weights = Mapping[str, np.ndarray]  # by canonical name
Watch = Callable[[op.Quantise, Rounded], Rounded]


def range_of(node: op.Quantise, weights: Weights) -> tuple[np.float32, int]:
    """The step of a rounding, and the 8-bit integer that stands for zero."""
    low, high = node.fixed or (float(weights[f"{node.like or node.name}/{end}"]) for end in ("low", "high"))
    return step_and_zero(low, high)


def computed(
    plan: Plan, weights: Weights, images: np.ndarray, watch: Watch | None = None, arithmetic: Arithmetic = LITE
) -> Rounded:
    """The output of an integer form for `images` (n, height, width, channels), float32 as its plan takes them. `watch`
    gets every rounded tensor with its operation, and returns the one to continue with."""
    value: Any = images

    def through(node: Op, value: Any) -> Any:
        if isinstance(node, op.Quantise):
            if node.name in arithmetic.unrounded and isinstance(value, Rounded):
                return clipped(value, *range_of(node, weights))
            made = quantised(value, *range_of(node, weights), arithmetic)
            return watch(node, made) if watch else made
        return OPERATIONS[type(node)](node, value, weights)

    for unit in plan.units:
        value = fold(unit.nodes, value, through, lambda fork, parts: MERGES[type(fork.merge)](fork, parts))
    return value


def _conv(node: op.Conv, x: Rounded, weights: Weights) -> Rounded | np.ndarray:
    kernel = weights[f"{node.name}/kernel"]
    if not node.weight_bits:
        return _convolved(node, x.real, kernel) + weights[f"{node.name}/bias"]
    own = kernel_step(kernel, node.weight_bits)
    whole = whole_kernel(kernel, node.weight_bits)
    step = np.float32(x.step) * own
    bias = np.rint(weights[f"{node.name}/bias"] / step.astype(np.float64)).astype(np.float32)
    return Rounded(_convolved(node, x.values, whole) + bias, step, twice=node.weight_bits < BITS)


def _convolved(node: op.Conv, values: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return np.asarray(by_channel_or_not(tf.constant(values), tf.constant(kernel), node.stride, node.padding))


def _relu(node: op.Relu, x: Any, weights: Weights) -> Any:
    return np.maximum(x, 0) if isinstance(x, np.ndarray) else replace(x, positive=True)


def _offset(node: Offset, x: Rounded, weights: Weights) -> Sum:
    added = weights[f"{node.name}/map"]
    low, high = min(float(added.min()), 0.0), max(float(added.max()), 0.0)
    return Sum((x, quantised(added[np.newaxis], *step_and_zero(low, high))))


def _pool(node: op.Pool, x: Rounded, weights: Weights) -> Rounded:
    values, window = tf.constant(x.values), (node.kernel, node.stride, node.padding.upper())
    if node.reduce == "max":
        return replace(x, values=tf.nn.max_pool2d(values, *window).numpy())
    return replace(x, values=tf.nn.avg_pool2d(values, *window).numpy(), averaged=True)


def _global_pool(node: op.GlobalPool, x: Rounded, weights: Weights) -> Rounded:
    if node.reduce == "max":
        return replace(x, values=x.values.max((1, 2), keepdims=True))
    return Rounded(x.values.sum((1, 2), keepdims=True), np.float32(x.step) / np.float32(prod(x.values.shape[1:3])))


def _flatten(node: op.Flatten, x: Rounded, weights: Weights) -> Rounded:
    return replace(x, values=x.values.reshape(len(x.values), -1))


def _pad(node: op.Pad, x: Rounded, weights: Weights) -> Rounded:
    around = [(0, 0), node.rows, node.columns, (0, 0)]
    values = np.pad(x.values, around, "symmetric") if node.border == "edge" else np.pad(x.values, around)
    return replace(x, values=values)


def _pad_channels(node: op.PadChannels, x: Rounded, weights: Weights) -> Rounded:
    more = node.channels - x.values.shape[-1]
    return replace(x, values=np.pad(x.values, [(0, 0)] * (x.values.ndim - 1) + [(0, more)]))


def _by_value(function: Callable[[np.ndarray], Any]) -> Callable[[Op, Rounded, Weights], np.ndarray]:
    """A function of single values, in float32: runtimes look its 256 results up in a table."""
    return lambda node, x, weights: np.asarray(function(x.real))


def _silu(node: op.Silu, x: Rounded, weights: Weights) -> Rounded:
    """By a rounded sigmoid, as runtimes compute it."""
    gate = np.clip(np.rint(tf.sigmoid(x.real).numpy() * 256), 0, 255)
    return Rounded(x.values * gate, np.float32(x.step) / np.float32(256))


def _negate(node: Negate, x: np.ndarray, weights: Weights) -> np.ndarray:
    return -x


OPERATIONS: dict[type[Op], Callable[[Any, Any, Weights], Any]] = {
    op.Conv: _conv,
    op.Relu: _relu,
    op.Gelu: _by_value(tf.nn.gelu),
    op.Silu: _silu,
    op.Sigmoid: _by_value(tf.sigmoid),
    op.Pool: _pool,
    op.GlobalPool: _global_pool,
    op.Flatten: _flatten,
    op.Pad: _pad,
    op.PadChannels: _pad_channels,
    Offset: _offset,
    Negate: _negate,
}


def _add(fork: Fork, parts: list[Rounded]) -> Sum:
    return Sum(tuple(parts))


def _multiply(fork: Fork, parts: list[Rounded]) -> Rounded:
    values, step = parts[0].values, np.float32(parts[0].step)
    for part in parts[1:]:
        values, step = values * part.values, step * np.float32(part.step)
    return Rounded(values, step)


def _concat(fork: Fork, parts: list[Any]) -> Joined:
    return Joined(tuple(each for part in parts for each in (part.parts if isinstance(part, Joined) else (part,))))


MERGES: dict[type[merges.Merge], Callable[[Fork, list[Any]], Value]] = {
    merges.Add: _add,
    merges.Multiply: _multiply,
    merges.Concat: _concat,
}
