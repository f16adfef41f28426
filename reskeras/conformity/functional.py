"""A plan as a function alone: what only training knows is left out, so that equal functions are equal plans."""

from __future__ import annotations

from dataclasses import replace

from reskeras.spec import operations as op
from reskeras.spec.fields import Spec
from reskeras.spec.network import NetworkSpec
from reskeras.spec.plan import Fork, Node, Plan, Sequence
from reskeras.spec.wording import is_gate


def functional(plan: Plan, spec: Spec) -> Plan:
    """`plan` as a function alone: without what only training knows, and with the biases and scales that `spec` gives
    every layer, and every gate of channels, which are 0 and 1 where the model has none."""
    biased = isinstance(spec, NetworkSpec) and bool(spec.conv_bias)
    scaled = not isinstance(spec, NetworkSpec) or spec.bn is None or spec.bn.scale

    def plain(node: Node, gate: bool) -> Node | None:
        match node:
            case Fork():
                return replace(node, branches=tuple(alone(branch, gate or (is_gate(node) and place == 1))
                                                    for place, branch in enumerate(node.branches)))
            case op.Dropout():
                return None
            case op.Conv():
                return replace(node, initialiser="", bias_start=0.0, bias=node.bias or biased or gate)
            case op.BatchNorm():
                return replace(node, momentum=0.0, gamma_start=1.0, scale=node.scale or scaled)
            case op.Dense():
                return replace(node, initialiser="", bias=True)
            case _:
                return node

    def alone(nodes: Sequence, gate: bool = False) -> Sequence:
        return tuple(made for node in nodes if (made := plain(node, gate)) is not None)

    return replace(plan, units=tuple(replace(unit, nodes=alone(unit.nodes)) for unit in plan.units))
