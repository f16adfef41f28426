"""Sums of whole numbers brought to the next step, as each runtime for 8-bit integers does it.

LiteRT's kernels do it in float32, half to even, by XNNPACK, whose additions are in fixed point; by ruy, which convolves
by kernels of fewer than 8 bits, in fixed point twice, first to 31 bits. onnxruntime and OpenVINO do all in float32,
half to even, and OpenVINO does not round a convolution's result that it adds to something at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import frexp
from typing import Any

import numpy as np

from reskeras.graph.layers.quantisation import BITS, LEAST

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


def step_and_zero(low: float, high: float) -> tuple[np.float32, int]:
    """The step of a range, and the 8-bit integer that stands for zero."""
    step = max(high - low, LEAST) / (HIGHEST - LOWEST)
    return np.float32(step), round(LOWEST - low / step)


def quantised(value: Any, step: np.float32, zero: int, arithmetic: Arithmetic = LITE) -> Rounded:
    """A value brought to the steps of a range, and clipped to it."""
    if isinstance(value, Rounded) and value.averaged:
        value = _averages(value, arithmetic)
    if isinstance(value, Joined):
        parts = value.parts if arithmetic.floats else [_converted(part, step) for part in value.parts]
        made = [quantised(part, step, zero, arithmetic).values for part in parts]
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


def clipped(value: Rounded, step: np.float32, zero: int) -> Rounded:
    """Real numbers of a range, which are not rounded."""
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
