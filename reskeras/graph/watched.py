"""Run a plan at inference with its weights as tensors, and every node watched."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from reskeras.graph.functions import UnitTensors, Watch, Weights, execute
from reskeras.plans import operations as op
from reskeras.plans.plan import Plan


def as_tensors(weights: Mapping[str, np.ndarray]) -> Weights:
    """Weights by canonical name, such as `stage1_unit1_conv1/kernel`, as `execute` takes them."""
    return {
        (operation, role): tf.constant(value)
        for name, value in weights.items()
        for operation, _, role in [name.rpartition("/")]
    }


def run_watched(plan: Plan, weights: Weights, x: tf.Tensor, watch: Watch) -> tf.Tensor:
    """The output of `plan` for `x` (n, *its input shape), float32; `watch` sees every node, and says what to continue
    with."""
    for unit in plan.units:
        x = execute(unit.nodes, x, UnitTensors(weights, training=False, learns=False, draw=no_draw, watch=watch))
    return x


def no_draw(node: op.Dropout) -> tuple[tf.Tensor, tf.Tensor]:
    """What nothing is drawn by at inference."""
    raise AssertionError(f"{node.name} draws in training only")
