"""Batch norm folded into the preceding convolution, for inference: the same function in fewer operations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from reskeras.networks.plan_of_parts import PlanOfParts
from reskeras.plans import operations as op
from reskeras.plans.folding import without_batch_norms
from reskeras.plans.plan import Plan

Weights = Mapping[str, np.ndarray]  # by canonical name
Parts = TypeVar("Parts", bound=PlanOfParts)


def folded(plan: Plan, weights: Weights) -> tuple[Plan, dict[str, np.ndarray]]:
    """`plan` without the batch norms that follow a convolution, and `weights` that make it the same function.

    gamma (conv(x) + bias - mean) / sqrt(variance + epsilon) + beta is a convolution with a bias. Computed in float64,
    returned in float32.
    """
    left = dict(weights)
    return without_batch_norms(plan, lambda pair: merge(*pair, left)), left


def folded_parts(plan: Parts, weights: Weights) -> tuple[Parts, dict[str, np.ndarray]]:
    """As `folded`, for each of a plan's parts."""
    parts: dict[str, Plan] = {}
    left = dict(weights)
    for name, part in plan.parts.items():
        parts[name], left = folded(part, left)
    return plan.with_parts(parts), left


def affine(norm: op.BatchNorm, weights: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Factor and shift, float64 by channel, of a batch norm at inference; its entries of `weights` are taken out."""
    beta, mean, variance = (
        weights.pop(f"{norm.name}/{role}").astype(np.float64) for role in ("beta", "moving_mean", "moving_variance")
    )
    gamma = weights.pop(f"{norm.name}/gamma").astype(np.float64) if norm.scale else 1.0
    factor = gamma / np.sqrt(variance + norm.epsilon)
    return factor, beta - mean * factor


def merge(conv: op.Conv, norm: op.BatchNorm, weights: dict[str, np.ndarray]) -> None:
    """Replace the entries of both in `weights` by those of the convolution with a bias that is equivalent to both."""
    factor, shift = affine(norm, weights)
    kernel, bias = f"{conv.name}/kernel", f"{conv.name}/bias"
    before = weights[bias].astype(np.float64) if conv.bias else 0.0
    weights[kernel] = (weights[kernel].astype(np.float64) * factor).astype(np.float32)
    weights[bias] = (shift + before * factor).astype(np.float32)
