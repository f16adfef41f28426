"""Batch norm folded into the preceding convolution, for inference: the same function in fewer operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from reskeras.networks.plan_of_parts import PlanOfParts
from reskeras.plans import operations as op
from reskeras.plans.nodes import Node, Sequence, rewritten
from reskeras.plans.plan import Plan

Weights = Mapping[str, np.ndarray]  # by canonical name
Parts = TypeVar("Parts", bound=PlanOfParts)


def folded(plan: Plan, weights: Weights) -> tuple[Plan, dict[str, np.ndarray]]:
    """`plan` without the batch norms that follow a convolution, and `weights` that make it the same function.

    gamma (conv(x) + bias - mean) / sqrt(variance + epsilon) + beta is a convolution with a bias. A batch norm that
    follows an addition (pre-activation, v2 figure 4) stays, because its input has other consumers. Computed in float64,
    returned in float32.
    """
    left = dict(weights)
    return plan.rewritten(lambda nodes: rewritten(nodes, lambda inner: _sequence(inner, left))), left


def folded_parts(plan: Parts, weights: Weights) -> tuple[Parts, dict[str, np.ndarray]]:
    """As `folded`, for each of a plan's parts."""
    parts: dict[str, Plan] = {}
    left = dict(weights)
    for name, part in plan.parts.items():
        parts[name], left = folded(part, left)
    return plan.with_parts(parts), left


def _sequence(nodes: Sequence, weights: dict[str, np.ndarray]) -> Sequence:
    done: list[Node] = []
    for node in nodes:
        if isinstance(node, op.BatchNorm) and done and isinstance(done[-1], op.Conv):
            done[-1] = _merged(done[-1], node, weights)
        else:
            done.append(node)
    return tuple(done)


def _merged(conv: op.Conv, norm: op.BatchNorm, weights: dict[str, np.ndarray]) -> op.Conv:
    """`conv` with a bias, equivalent to both; their entries of `weights` are replaced."""
    beta, mean, variance = (
        weights.pop(f"{norm.name}/{role}").astype(np.float64) for role in ("beta", "moving_mean", "moving_variance")
    )
    gamma = weights.pop(f"{norm.name}/gamma").astype(np.float64) if norm.scale else 1.0
    factor = gamma / np.sqrt(variance + norm.epsilon)
    kernel, bias = f"{conv.name}/kernel", f"{conv.name}/bias"
    before = weights[bias].astype(np.float64) if conv.bias else 0.0
    weights[kernel] = (weights[kernel].astype(np.float64) * factor).astype(np.float32)
    weights[bias] = (beta + (before - mean) * factor).astype(np.float32)
    return replace(conv, bias=True)
