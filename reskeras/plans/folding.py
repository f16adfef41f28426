"""Batch norms that follow a convolution left out, for inference: the convolution's bias and kernel do their work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from reskeras.plans import operations as op
from reskeras.plans.nodes import Node, Sequence, rewritten
from reskeras.plans.plan import Plan

Pair = tuple[op.Conv, op.BatchNorm]


def without_batch_norms(plan: Plan, told: Callable[[Pair], None] = lambda pair: None) -> Plan:
    """`plan` with each batch norm that directly follows a convolution merged into it, which gets a bias.

    A batch norm that follows an addition (pre-activation, v2 figure 4) stays, because its input has other consumers.
    `told` hears of each pair that is merged.
    """

    def sequence(nodes: Sequence) -> Sequence:
        done: list[Node] = []
        for node in nodes:
            if isinstance(node, op.BatchNorm) and done and isinstance(conv := done[-1], op.Conv):
                told((conv, node))
                done[-1] = replace(conv, bias=True)
            else:
                done.append(node)
        return tuple(done)

    return plan.rewritten(lambda nodes: rewritten(nodes, sequence))
