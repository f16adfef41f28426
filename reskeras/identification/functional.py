"""A plan as an inference function: settings of training alone removed, so that equal functions are equal plans."""

from __future__ import annotations

from dataclasses import replace

from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.network import NetworkSpec
from reskeras.plans import operations as op
from reskeras.plans.merges import GATE
from reskeras.plans.nodes import Fork, Sequence, mapped, rewritten
from reskeras.plans.plan import Plan


def untrained(node: op.Op) -> op.Op | None:
    """`node` without the settings of training alone; None where it does nothing at inference."""
    match node:
        case op.Dropout():
            return None
        case op.Conv():
            return replace(node, initialiser="", bias_start=0.0)
        case op.BatchNorm():
            return replace(node, momentum=0.0, gamma_start=1.0)
        case op.Dense():
            return replace(node, initialiser="", bias_start=0.0)
        case _:
            return node


def functional(plan: Plan, spec: AnyNetwork | None) -> Plan:
    """`plan` as an inference function: without the settings of training alone, and with the biases and scales that
    `spec` gives every layer, and every channel gate; where the model has none they are 0 and 1."""
    biased = isinstance(spec, NetworkSpec) and bool(spec.conv_bias)
    scaled = not isinstance(spec, NetworkSpec) or spec.bn is None or spec.bn.scale

    def alone(node: op.Op) -> op.Op | None:
        match untrained(node):
            case op.Conv() as conv:
                return replace(conv, bias=conv.bias or biased)
            case op.BatchNorm() as norm:
                return replace(norm, scale=norm.scale or scaled)
            case op.Dense() as dense:
                return replace(dense, bias=True)
            case other:
                return other

    return plan.rewritten(lambda nodes: mapped(rewritten(nodes, _with_biased_gates), alone))


def _with_biased_gates(nodes: Sequence) -> Sequence:
    return tuple(
        replace(
            node,
            branches=tuple(
                mapped(branch, _with_bias) if part == GATE else branch
                for part, branch in zip(node.parts, node.branches, strict=True)
            ),
        )
        if isinstance(node, Fork) and node.is_gate
        else node
        for node in nodes
    )


def _with_bias(node: op.Op) -> op.Op:
    return replace(node, bias=True) if isinstance(node, op.Conv) else node
