"""Run a plan with its weights as tensors and every node watched, so that units can be measured, removed and swapped."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from reskeras.graph.functions import UnitTensors, Watch, Weights, execute, merged
from reskeras.graph.watched import no_draw
from reskeras.plans.nodes import Fork
from reskeras.plans.plan import Plan, Unit

SHORTCUT, RESIDUAL = 0, 1  # branches of a residual fork


def batch_signature(plan: Plan, labels: tf.Tensor) -> list[tf.TensorSpec]:
    """Input signature of normalised images, and labels like `labels`, any batch size, so that a function is traced
    once."""
    return [
        tf.TensorSpec([None, *plan.input_shape], tf.float32),
        tf.TensorSpec([None, *labels.shape[1:]], labels.dtype),
    ]


def told_right(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """1 where a network is right, else 0, int32, like `labels`: the top class of each image, or whether each class is
    there (at a probability of 1/2) of multi-label images."""
    if labels.shape.rank == 2:
        return tf.cast(tf.equal(logits > 0, labels > 0), tf.int32)
    return tf.cast(tf.equal(tf.argmax(logits, axis=1, output_type=labels.dtype), labels), tf.int32)


def residual_fork(unit: Unit) -> Fork | None:
    """The fork whose merge joins the unit's shortcut and residual; None in a unit without shortcut."""
    return next((node for node in unit.nodes if isinstance(node, Fork) and node.is_residual), None)


def without_residual(fork: Fork, parts: list[tf.Tensor]) -> tf.Tensor:
    """The fork's output with its residual set to zero."""
    return merged(fork.merge, [tf.zeros_like(part) if place == RESIDUAL else part for place, part in enumerate(parts)])


def removable(plan: Plan) -> list[str]:
    """Units that can be removed: of a residual unit the shortcut remains; a unit without shortcut is bypassed, which
    requires equal input and output shapes."""
    shapes = (plan.input_shape, *plan.unit_shapes())
    return [
        unit.name
        for place, unit in enumerate(plan.units)
        if unit.index is not None and (residual_fork(unit) or shapes[place] == shapes[place + 1])
    ]


def run(
    plan: Plan,
    weights: Weights,
    images: tf.Tensor,
    watch: Watch | None = None,
    kept: tf.Tensor | None = None,
    batch_statistics: bool = False,
) -> tf.Tensor:
    """Logits (n, classes), float32, of normalised images (n, height, width, channels).

    `watch` sees every node, and (unit, [input], output) of every unit. `kept` (units,) is 1.0 for units that are kept
    and 0.0 for removed ones. `batch_statistics` normalises by the batch, as in training.
    """
    x = images
    for place, unit in enumerate(plan.units):
        keep = None if kept is None else kept[place]
        tensors = UnitTensors(
            weights,
            training=False,
            learns=batch_statistics,
            draw=no_draw,
            watch=_watching(residual_fork(unit), watch, keep),
        )
        made = execute(unit.nodes, x, tensors)
        if keep is not None and residual_fork(unit) is None and made.shape[1:] == x.shape[1:]:
            made = tf.where(keep > 0, made, x)
        x = watch(unit, [x], made) if watch else made
    return x


def _watching(fork: Fork | None, watch: Watch | None, keep: tf.Tensor | None) -> Watch | None:
    if keep is None:
        return watch

    def watching(node: Any, parts: list[tf.Tensor], made: tf.Tensor) -> tf.Tensor:
        if node is fork:
            made = tf.where(keep > 0, made, without_residual(fork, parts))
        return watch(node, parts, made) if watch else made

    return watching
