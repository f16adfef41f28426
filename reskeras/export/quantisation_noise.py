"""Quantisation noise by layer: what rounding alone adds to the result of each operation of a network's integer form."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.export.integers import Integers
from reskeras.graph.watched import as_tensors, run_watched
from reskeras.plans import operations as op

IMAGES = 50


@dataclass(frozen=True)
class LayerNoise:
    """An operation of a quantised network: its signal to quantisation noise ratio in `decibels`, higher is better.

    `error` is the root mean squared error of its result for unrounded inputs, and `step` the quantisation step.
    """

    layer: str
    operation: str
    decibels: float
    error: float
    step: float


def explain(integers: Integers, images: np.ndarray) -> list[LayerNoise]:
    """The noise of every rounded operation over raw `images`, noisiest first."""
    pixels = tf.constant(images[:IMAGES], tf.float32)
    wanted: dict[str, tf.Tensor] = {}

    def keep(node: Any, parts: list[tf.Tensor], made: tf.Tensor) -> tf.Tensor:
        if isinstance(node, op.Quantise):
            wanted[node.name] = parts[0]
            return parts[0]
        return made

    weights = as_tensors(integers.weights)
    run_watched(integers.plan.mapped(_unrounded), weights, pixels, keep)
    found: list[LayerNoise] = []
    operations = {node.name: node for node in integers.plan.ops()}

    def compare(node: Any, parts: list[tf.Tensor], made: tf.Tensor) -> tf.Tensor:
        if not isinstance(node, op.Quantise):
            return made
        signal = wanted[node.name]
        power = float(tf.reduce_mean(tf.square(signal)))
        noise = float(tf.reduce_mean(tf.square(made - signal)))
        decibels = 10 * math.log10(power / noise) if noise > 0 and power > 0 else math.inf
        name = node.name.removesuffix("_range")
        words = operations[name].words if name in operations else "sum or join"
        found.append(LayerNoise(name, words, decibels, math.sqrt(noise), integers.range(node)[0]))
        return signal

    run_watched(integers.plan, weights, pixels, compare)
    return sorted(found, key=lambda each: each.decibels)


def _unrounded(node: op.Op) -> op.Op:
    return replace(node, weight_bits=None) if isinstance(node, op.Conv) else node
