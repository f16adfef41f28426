"""The integer form computed in whole numbers, as runtimes for 8-bit integers do: what their files are compared with.

A graph that rounds in float32 (`layers/quantisation.py`) has gradients and is what converters read, but its sums carry
rounding errors of their own, which tip one value in 100,000 to the next step; after fifty layers that has reached half
of the logits. Here sums are exact, and brought to the next step as LiteRT's kernels do it: in float32, half to even,
by XNNPACK, whose additions are in fixed point; by ruy, which convolves by kernels of fewer than 8 bits, in fixed point
twice, first to 31 bits. onnxruntime and OpenVINO do all in float32, half to even, and OpenVINO does not round a
convolution's result that it adds to something at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import frexp, prod
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.graph.layers.quantisation import BITS, LEAST, by_channel_or_not, kernel_step, whole_kernel
from reskeras.plans import merges
from reskeras.plans import operations as op
from reskeras.plans.integers import Negate, Offset
from reskeras.plans.nodes import Fork, fold
from reskeras.plans.operation import Op
from reskeras.plans.plan import Plan

Weights = Mapping[str, np.ndarray]  # by canonical name
LOWEST, HIGHEST = -(2 ** (BITS - 1)), 2 ** (BITS - 1) - 1
FACTOR_BITS = 21


@dataclass(frozen=True)
class Arithmetic:
    """How a runtime brings results to the next step. `floats`: sums, averages and what is joined in float32, not in
    fixed point. `zero_first`: the integer that stands for zero is added before results are rounded. The results of
    convolutions that operations `unrounded` would round are only clipped to their ranges.
    """

    floats: bool = False
    zero_first: bool = False
    unrounded: frozenset[str] = frozenset()


LITE = Arithmetic()


@dataclass(frozen=True)
class Rounded:
    """Whole numbers `values`, float32 without a zero point, times `step`, one or one for each channel.

    `zero` is the 8-bit integer that stands for 0. `positive`: a ReLU is still to be computed. `twice`: they are rounded
    to 31 bits first. `averaged`: they are averages that are still to be rounded. `clipped`: they are real
    numbers that were not rounded.
    """

    values: np.ndarray
    step: Any
    zero: int = 0
    positive: bool = False
    twice: bool = False
    averaged: bool = False
    clipped: bool = False

    @property
    def real(self) -> np.ndarray:
        """What they stand for, float32."""
        return (self.values * np.float32(self.step)).astype(np.float32)


@dataclass(frozen=True)
class Sum:
    """A sum whose terms have steps of their own, not yet rounded."""

    terms: tuple[Rounded, ...]
    positive: bool = False


@dataclass(frozen=True)
class Joined:
    """Tensors that are concatenated once they are rounded to one step."""

    parts: tuple[Any, ...]


Value = Rounded | Sum | Joined
Watch = Callable[[op.Quantise, Rounded], Rounded]


def range_of(node: op.Quantise, weights: Weights) -> tuple[np.float32, int]:
    """The step of a rounding, and the 8-bit integer that stands for zero."""
    low, high = node.fixed or (float(weights[f"{node.like or node.name}/{end}"]) for end in ("low", "high"))
    return _step_and_zero(low, high)


def _step_and_zero(low: float, high: float) -> tuple[np.float32, int]:
    step = max(high - low, LEAST) / (HIGHEST - LOWEST)
    return np.float32(step), round(LOWEST - low / step)


def computed(
    plan: Plan, weights: Weights, images: np.ndarray, watch: Watch | None = None, arithmetic: Arithmetic = LITE
) -> Rounded:
    """The output of an integer form for `images` (n, height, width, channels), float32 as its plan takes them. `watch`
    gets every rounded tensor with its operation, and returns the one to continue with."""
    value: Any = images

    def through(node: Op, value: Any) -> Any:
        if isinstance(node, op.Quantise):
            if node.name in arithmetic.unrounded and isinstance(value, Rounded):
                return _clipped(value, *range_of(node, weights))
            made = _quantise(value, *range_of(node, weights), arithmetic)
            return watch(node, made) if watch else made
        return OPERATIONS[type(node)](node, value, weights)

    for unit in plan.units:
        value = fold(unit.nodes, value, through, lambda fork, parts: MERGES[type(fork.merge)](fork, parts))
    return value


def _quantise(value: Any, step: np.float32, zero: int, arithmetic: Arithmetic = LITE) -> Rounded:
    if isinstance(value, Rounded) and value.averaged:
        value = _averages(value, arithmetic)
    if isinstance(value, Joined):
        parts = value.parts if arithmetic.floats else [_converted(part, step) for part in value.parts]
        made = [_quantise(part, step, zero, arithmetic).values for part in parts]
        return Rounded(np.concatenate(made, axis=-1), step, zero)
    lowest = zero if isinstance(value, Rounded | Sum) and value.positive else LOWEST
    if isinstance(value, Sum) and arithmetic.floats:
        values = _in_float32(value, step, zero)
    elif isinstance(value, Sum):
        values = _fixed_point(value, step)
    elif isinstance(value, Rounded) and value.twice:
        values = _twice_rounded(value.values.astype(np.int64), value.step.astype(np.float64) / np.float64(step))
    elif isinstance(value, Rounded):
        zero_first = np.float32(zero - LOWEST if arithmetic.zero_first else 0)
        scaled = value.values.astype(np.float32) * (np.asarray(value.step, np.float32) / step)
        values = np.rint(scaled + zero_first) - zero_first
    else:
        values = np.rint(np.asarray(value, np.float32) / step)
    return Rounded((np.clip(values + zero, lowest, HIGHEST) - zero).astype(np.float32), step, zero)


def _in_float32(value: Sum, step: np.float32, zero: int) -> np.ndarray:
    """A sum by fused multiplications and additions of 8-bit integers as they are stored: onnxruntime's QLinearAdd, from
    the last term; or OpenVINO's, to what is only clipped."""
    total: Any
    shift, terms = np.float32(zero - LOWEST), [term for term in value.terms if not term.clipped]
    shifts = [np.float32(term.zero - LOWEST) for term in terms]
    if len(terms) < len(value.terms):
        total = sum(term.values for term in value.terms if term.clipped)
        for term, own in zip(terms, shifts, strict=True):
            total = _fused(term.values + own, np.float32(term.step), total - own * np.float32(term.step))
        return np.rint(_fused(total, np.float32(1) / step, shift)) - shift
    factors = [np.float32(term.step) / step for term in terms]
    total = shift
    for factor, own in zip(factors, shifts, strict=True):
        total = total - factor * own
    for term, factor, own in reversed(list(zip(terms, factors, shifts, strict=True))):
        total = _fused(term.values + own, factor, total)
    return np.rint(total) - shift


def _fused(values: np.ndarray, factor: np.float32, more: Any) -> np.ndarray:
    """values * factor + more, rounded to float32 once."""
    return (values.astype(np.float64) * np.float64(factor) + more).astype(np.float32)


def _clipped(value: Rounded, step: np.float32, zero: int) -> Rounded:
    real = value.values.astype(np.float32) * np.asarray(value.step, np.float32)
    lowest = zero if value.positive else LOWEST
    return Rounded(np.clip(real, (lowest - zero) * step, (HIGHEST - zero) * step), np.float32(1), clipped=True)


def _averages(value: Rounded, arithmetic: Arithmetic) -> Rounded:
    """Rounded to the integers that are stored, halves to even in float32; LiteRT's away from zero."""
    stored = value.values + value.zero
    rounded = np.rint(stored) if arithmetic.floats else np.trunc(stored + np.copysign(0.5, stored))
    return replace(value, values=rounded - value.zero, averaged=False)


def _converted(part: Any, step: np.float32) -> Any:
    """A tensor of 8-bit integers brought to another step, in fixed point of 8 bits; others as they are."""
    if not isinstance(part, Rounded) or np.ndim(part.step) or part.step == step:
        return part
    part = _averages(part, LITE) if part.averaged else part
    factor = int(np.rint(256 * np.float32(part.step) / step))
    return replace(part, values=((part.values.astype(np.int64) * factor + 128) >> 8).astype(np.float32), step=step)


def _fixed_point(value: Sum, step: np.float32) -> np.ndarray:
    factors = [float(np.float32(term.step) / step) for term in value.terms]
    shift = FACTOR_BITS - frexp(max(map(abs, factors)))[1]
    whole = [np.int64(round(factor * 2.0**shift)) for factor in factors]
    # np.sum would not broadcast a map to all images
    total: Any = sum(term.values.astype(np.int64) * each for term, each in zip(value.terms, whole, strict=True))
    return np.asarray((total + (1 << (shift - 1))) >> shift)


def _twice_rounded(values: np.ndarray, factors: np.ndarray) -> np.ndarray:
    mantissas, exponents = np.frexp(factors)
    whole = np.rint(mantissas * 2.0**31).astype(np.int64)
    shift = np.maximum(-exponents, 0)
    once = ((values << np.maximum(exponents, 0)) * whole + (1 << 30)) >> 31
    return (once + ((1 << shift) >> 1)) >> shift


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
    return Sum((x, _quantise(added[np.newaxis], *_step_and_zero(low, high))))


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
