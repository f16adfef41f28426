"""Weights of a plan's integer form: those of a trained network, ranges calibrated on images, biases rounded."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import tensorflow as tf

from reskeras.graph.fold import affine, merge
from reskeras.graph.integer_arithmetic import range_of
from reskeras.graph.layers.quantisation import BITS, kernel_step
from reskeras.graph.watched import as_tensors, run_watched
from reskeras.plans import operations as op
from reskeras.plans.integers import Negate, integer_plan, with_pixels
from reskeras.plans.nodes import fold
from reskeras.plans.plan import Plan

Weights = Mapping[str, np.ndarray]  # by canonical name
BATCH = 50  # images that ranges are calibrated on at once


def integer_form(
    plan: Plan, weights: Weights, weight_bits: int = BITS, kept: Collection[str] = ()
) -> tuple[Plan, dict[str, np.ndarray]]:
    """The integer form of `plan` with the `weights` that make it the same function, before anything is rounded; its
    ranges are empty."""
    left = dict(weights)
    made = integer_plan(plan, weight_bits, kept, lambda before, after: _follow(before, after, left))
    wanted = made.weight_shapes()
    return made, {name: left.get(name, np.zeros(shape, np.float32)) for name, shape in wanted.items()}


def _follow(before: op.Op, after: op.Conv, weights: dict[str, np.ndarray]) -> None:
    """Change `weights` as the integer form changed an operation."""
    kernel, bias = f"{after.name}/kernel", f"{after.name}/bias"
    match before:
        case op.BatchNorm() if after.name != before.name:
            merge(after, before, weights)
        case op.BatchNorm():
            factor, shift = affine(before, weights)
            weights[kernel] = factor.astype(np.float32)[np.newaxis, np.newaxis, np.newaxis]
            weights[bias] = shift.astype(np.float32)
        case op.Dense():
            weights[kernel] = weights[kernel].reshape(*after.kernel, -1, after.filters)
        case Negate():
            for name in (kernel, bias):
                weights[name] = -weights[name]
        case op.Scale() if after.name == before.name:
            weights[kernel] = np.full((1, 1, 1, after.filters), before.factor, np.float32)
        case op.Scale():
            for name in (kernel, bias):
                weights[name] = weights[name] * np.float32(before.factor)
    weights.setdefault(bias, np.zeros(weights[kernel].shape[-1], np.float32))


def from_pixels(plan: Plan, weights: Weights, mean: np.ndarray, std: np.ndarray) -> tuple[Plan, dict[str, np.ndarray]]:
    """An integer form, with its weights, that takes raw pixels, of which `mean` (by channel, or by pixel and channel)
    is subtracted before they are divided by `std` (by channel)."""
    channels = plan.input_shape[-1]
    by_channel = mean.reshape(-1, channels).mean(axis=0, dtype=np.float64)
    shifts = -by_channel / std
    ends = float(min(shifts.min(), 0)), float(max((255 / std + shifts).max(), 0))
    more = {
        "normalise/kernel": (1 / std).astype(np.float32).reshape(1, 1, 1, channels),
        "normalise/bias": shifts.astype(np.float32),
    }
    if mean.ndim > 1:
        more["offset/map"] = ((by_channel - mean) / std).astype(np.float32)
    return with_pixels(plan, ends, mean.ndim > 1), {**weights, **more}


def calibrated(plan: Plan, weights: Weights, images: np.ndarray | tf.Tensor) -> dict[str, np.ndarray]:
    """`weights` with the ranges of everything that is rounded: the least and the most over `images` as the plan takes
    them (n, height, width, channels), and zero."""
    names = [node.name for node in plan.ops() if isinstance(node, op.Quantise) and node.held]
    tensors = as_tensors(weights)

    @tf.function(input_signature=[tf.TensorSpec([None, *plan.input_shape], tf.float32)])
    def ends(x: tf.Tensor) -> dict[str, tf.Tensor]:
        found: dict[str, tf.Tensor] = {}

        def watch(node: object, parts: list[tf.Tensor], made: tf.Tensor) -> tf.Tensor:
            if not isinstance(node, op.Quantise):
                return made
            if node.name in names:
                found[node.name] = tf.stack([tf.reduce_min(parts[0]), tf.reduce_max(parts[0])])
            return parts[0]  # as if nothing were rounded

        run_watched(plan, tensors, x, watch)
        return found

    ranges = np.zeros((len(names), 2), np.float32)
    for start in range(0, len(images), BATCH):
        found = ends(tf.cast(images[start : start + BATCH], tf.float32))
        told = np.stack([found[name].numpy() for name in names])
        ranges = np.stack([np.minimum(ranges[:, 0], told[:, 0]), np.maximum(ranges[:, 1], told[:, 1])], axis=1)
    return {
        **weights,
        **{f"{name}/{end}": ranges[i, j] for i, name in enumerate(names) for j, end in enumerate(("low", "high"))},
    }


def input_steps(plan: Plan, weights: Weights) -> list[tuple[op.Conv, np.float32]]:
    """The convolutions of integers, each with the step of its input."""
    found: list[tuple[op.Conv, np.float32]] = []

    def through(node: op.Op, step: np.float32) -> np.float32:
        if isinstance(node, op.Quantise):
            return range_of(node, weights)[0]
        if isinstance(node, op.Conv) and node.weight_bits:
            found.append((node, step))
        return step

    step = np.float32(1)
    for unit in plan.units:
        step = fold(unit.nodes, step, through, lambda fork, steps: steps[0])
    return found


def settled(plan: Plan, weights: Weights) -> dict[str, np.ndarray]:
    """`weights` with each bias rounded to what an integer runtime adds: whole multiples of the step of its input times
    the step of its filter."""
    left = dict(weights)
    for node, step in input_steps(plan, weights):
        kernel, bias = (f"{node.name}/{role}" for role in ("kernel", "bias"))
        unit = np.float64(step) * kernel_step(weights[kernel], node.weight_bits or BITS)
        left[bias] = (np.round(weights[bias] / unit) * unit).astype(np.float32)
    return left
