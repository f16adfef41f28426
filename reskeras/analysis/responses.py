"""Layer responses: where the output of each spatial convolution is measured (v1 section 4.2, figure 7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reskeras.plans import operations as op
from reskeras.plans.nodes import Sequence, followed
from reskeras.plans.plan import Plan

AFTER_BN, AFTER_CONV = "after batch norm", "after the convolution"


@dataclass(frozen=True)
class Tap:
    """Where a layer's response is measured: at the output of the operation `node`."""

    layer: str
    node: str
    where: str


@dataclass(frozen=True)
class Response:
    """Standard deviation of a layer's response over images, positions and channels."""

    layer: str
    tap: str
    deviation: float


def taps(plan: Plan) -> list[Tap]:
    """A tap for each convolution with a kernel side above 1, in network order.

    It is after the batch norm that directly follows the convolution, before nonlinearity and addition, as in figure 7.
    Where none follows, as after the last convolution of a full pre-activation unit, it is after the convolution.
    """
    return [tap for unit in plan.units for tap in _taps(unit.nodes)]


def _taps(nodes: Sequence) -> Iterator[Tap]:
    for node, following in followed(nodes):
        if isinstance(node, op.Conv) and max(node.kernel) > 1:
            if isinstance(following, op.BatchNorm):
                yield Tap(node.name, following.name, AFTER_BN)
            else:
                yield Tap(node.name, node.name, AFTER_CONV)
