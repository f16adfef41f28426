"""One pass over images: layer responses, the shortcut's share of each unit, and the stream as a sum of residuals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.analysis.responses import Response, taps
from reskeras.analysis.tapped import (
    RESIDUAL,
    SHORTCUT,
    batch_signature,
    residual_fork,
    run,
    told_right,
    without_residual,
)
from reskeras.graph.watched import as_tensors
from reskeras.plans.merges import ADD
from reskeras.plans.nodes import Fork, weighted_layers
from reskeras.plans.plan import Plan, Unit


@dataclass(frozen=True)
class UnitSignal:
    """What one unit does to the residual stream.

    `shortcut_share`: the shortcut's share of the merged output y = s + r, sum(s y) / sum(y y); the residual has the
    rest. None in a unit without shortcut. `residual_ratio`: RMS of the residual over that of the shortcut.
    `sum_error`: the largest |x_L - (x_l + sum of F)| over the largest |x_L|, where x_l is the output of the last unit
    without an identity shortcut (v2 equation 4); rounding error only where the order leaves the stream unchanged,
    None where there is no such sum. `depth`: effective depth, a mean over paths: the shortcut's share is as deep as
    the unit's input, the rest deeper by the residual branch's weighted layers; shares are clipped to 0..1. `gradient`
    and `stream_gradient`: see `gradients`.
    """

    unit: str
    shortcut_share: float | None
    residual_ratio: float | None
    sum_error: float | None
    depth: float
    gradient: float = float("nan")
    stream_gradient: float = float("nan")


@dataclass(frozen=True)
class ActivationStatistics:
    """Responses of all layers, signals of all units, and the accuracy on the images."""

    responses: tuple[Response, ...]
    units: tuple[UnitSignal, ...]
    accuracy: float
    images: int


def survey(
    plan: Plan, weights: dict[str, np.ndarray], batches: Iterable[tuple[tf.Tensor, tf.Tensor]]
) -> ActivationStatistics:
    """Measure over `batches` of (normalised images, labels), in inference mode."""
    tensors, tapped = as_tensors(weights), taps(plan)

    held = list(batches)

    @tf.function(input_signature=batch_signature(plan, held[0][1]), autograph=False)
    def measured(images: tf.Tensor, labels: tf.Tensor) -> dict[str, Any]:
        seen = _Seen(plan, {tap.node for tap in tapped})
        logits = run(plan, tensors, images, seen)
        right = tf.reduce_sum(told_right(logits, labels))
        return {"moments": seen.moments, "products": seen.products, "sums": seen.sums, "right": right}

    moments: dict[str, np.ndarray] = {}
    products: dict[str, np.ndarray] = {}
    sums: dict[str, np.ndarray] = {}
    images = labelled = right = 0
    once = measured.get_concrete_function()  # avoids TensorFlow's retracing warning with many networks
    for batch, labels in held:
        found, count = tf.nest.map_structure(lambda value: value.numpy(), once(batch, labels)), len(labels)
        images, labelled, right = images + count, labelled + int(tf.size(labels)), right + int(found["right"])
        for name, value in found["moments"].items():
            moments[name] = moments.get(name, 0.0) + count * value.astype(np.float64)
        for name, value in found["products"].items():
            products[name] = products.get(name, 0.0) + count * value.astype(np.float64)
        for name, value in found["sums"].items():
            sums[name] = np.maximum(sums.get(name, 0.0), value)
    responses = tuple(Response(tap.layer, tap.where, _deviation(moments[tap.node] / images)) for tap in tapped)
    return ActivationStatistics(responses, tuple(_signals(plan, products, sums)), right / labelled, images)


def _deviation(moments: np.ndarray) -> float:
    mean, square = moments
    return float(np.sqrt(max(square - mean * mean, 0.0)))


def _signals(plan: Plan, products: dict[str, np.ndarray], sums: dict[str, np.ndarray]) -> Iterator[UnitSignal]:
    depth = 0.0
    for unit in plan.units:
        share = ratio = None
        layers = weighted_layers(unit.nodes)
        fork = residual_fork(unit)
        if fork and unit.name in products:
            shortcut, residual, along, whole = products[unit.name]
            share = float(along / whole) if whole > 0 else 0.0
            ratio = float(np.sqrt(residual / shortcut)) if shortcut > 0 else float("inf")
            layers = weighted_layers(fork.branches[RESIDUAL])
        depth += layers * (1.0 if share is None else 1.0 - min(max(share, 0.0), 1.0))
        error, largest = sums.get(unit.name, (None, None))
        yield UnitSignal(unit.name, share, ratio, float(error / largest) if largest else None, depth)


class _Seen:
    """A watch for `run` that collects the statistics of a forward pass, as tensors."""

    def __init__(self, plan: Plan, tapped: set[str]):
        self.tapped = tapped
        self.forks = {id(fork): unit for unit in plan.units if (fork := residual_fork(unit))}
        self.moments: dict[str, tf.Tensor] = {}  # by operation: mean, mean square
        self.products: dict[str, tf.Tensor] = {}  # by unit: means of s s, r r, s y, y y
        self.sums: dict[str, tf.Tensor] = {}  # by unit: the largest difference, the largest value
        self.residual: tf.Tensor | None = None  # of the unit being run, when its shortcut is the identity
        self.start = self.total = tf.zeros(())

    def __call__(self, node: Any, parts: list[tf.Tensor], made: tf.Tensor) -> tf.Tensor:
        """Record the output of a node or a unit."""
        if isinstance(node, Unit):
            self._stream(node, made)
        elif unit := self.forks.get(id(node)):
            self._merge(unit, node, parts, made)
        elif node.name in self.tapped:
            self.moments[node.name] = tf.stack([tf.reduce_mean(made), tf.reduce_mean(tf.square(made))])
        return made

    def _merge(self, unit: Unit, fork: Fork, parts: list[tf.Tensor], made: tf.Tensor) -> None:
        shortcut = without_residual(fork, parts)
        residual = made - shortcut
        self.products[unit.name] = tf.stack(
            [
                tf.reduce_mean(one * other)
                for one, other in ((shortcut, shortcut), (residual, residual), (shortcut, made), (made, made))
            ]
        )
        if fork.merge == ADD and not fork.branches[SHORTCUT] and unit.nodes[0] is fork:
            self.residual = parts[RESIDUAL]

    def _stream(self, unit: Unit, made: tf.Tensor) -> None:
        if self.residual is None:  # the shortcut is not the identity: a new sum begins here
            self.start, self.total = made, tf.zeros(())
            return
        self.total, self.residual = self.total + self.residual, None
        self.sums[unit.name] = tf.stack(
            [tf.reduce_max(tf.abs(made - (self.start + self.total))), tf.reduce_max(tf.abs(made))]
        )
