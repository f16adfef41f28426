"""The spec closest to a graph: fields read off its parts, the rest found by trial, every candidate compared.

The distance is the number of operations in which a spec's plan and the graph differ. A distance of 0 proves that both
compute the same function, whatever their names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

from reskeras.documents.validation import validated
from reskeras.errors import ReskerasError
from reskeras.identification.canonical import canonical_plan
from reskeras.identification.foreign import Unlike
from reskeras.identification.functional import functional
from reskeras.identification.inception_reader import read_inception
from reskeras.identification.simplest import simplest
from reskeras.identification.spec_candidates import Data, candidates
from reskeras.identification.units import Anatomy, anatomy
from reskeras.identification.vgg_reader import read_vgg
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.diff import unit_steps
from reskeras.networks.network import NetworkSpec
from reskeras.networks.orders import ORDERS
from reskeras.plans import operations as op
from reskeras.plans.nodes import Fork, Sequence
from reskeras.plans.plan import Plan, Unit


@dataclass(frozen=True)
class Closest:
    """A spec and the graph, both as plans of the same units, in canonical form."""

    spec: AnyNetwork
    planned: Plan
    found: Plan

    @property
    def distance(self) -> int:
        """Number of operations in which they differ at inference; settings of training alone do not count."""
        pairs = zip(functional(self.planned, self.spec).units, functional(self.found, self.spec).units, strict=True)
        return sum(_apart(*pair) for pair in pairs)


def closest(nodes: Sequence, shape: tuple[int | None, ...]) -> Closest:
    """The spec nearest to the canonical sequence `nodes`, for images of `shape` (height, width, channels).

    Raises Unlike, with the reason, when no network in this design space is near.
    """
    try:
        if known := read_vgg(nodes, shape) or read_inception(nodes, shape):
            spec, units = known
            planned = canonical_plan(spec.lower())
            return Closest(spec, planned, Plan(units=units, input_shape=planned.input_shape))
    except ReskerasError as error:
        raise _no_network(error) from error
    parts = anatomy(nodes)
    best: tuple[Closest, Data] | None = None
    refusal: ReskerasError | None = None
    for data in candidates(parts, shape):
        try:
            candidate = _compared(data, parts)
        except ReskerasError as error:
            refusal = error
            continue
        if best is None or candidate.distance < best[0].distance:
            best = candidate, data
        if not candidate.distance:
            break
    if best is None:
        raise _no_network(refusal)
    found, data = best if not best[0].distance else _stage_by_stage(*best, parts)
    return replace(found, spec=validated(NetworkSpec, simplest(data)))


def _no_network(refusal: ReskerasError | None) -> Unlike:
    return Unlike(f"the fields read from it do not form a valid network: {refusal}")


def _compared(data: Data, parts: Anatomy) -> Closest:
    spec = validated(NetworkSpec, data)
    planned = canonical_plan(spec.lower())
    return Closest(spec, planned, _cut(parts, planned))


def _stage_by_stage(best: Closest, data: Data, parts: Anatomy) -> tuple[Closest, Data]:
    """A nearer candidate in which single stages have another activation order, if there is one."""
    for stage, order in product(range(len(data["stages"])), ORDERS):
        rows = [dict(row) for row in data["stages"]]
        rows[stage]["order"] = order
        try:
            candidate = _compared({**data, "stages": rows}, parts)
        except ReskerasError:  # this order cannot be combined with its neighbours'
            continue
        if candidate.distance < best.distance:
            best, data = candidate, {**data, "stages": rows}
    return best, data


def _cut(parts: Anatomy, planned: Plan) -> Plan:
    """The graph cut into the units of `planned`; nodes between two units go to the first as far as it has room."""
    edges = [(0, parts.stem_last), *((unit.first, unit.last) for unit in parts.units)]
    units, begin = [], 0
    for place, (unit, (_, last)) in enumerate(zip(planned.units, edges, strict=False)):
        following = edges[place + 1][0] if place + 1 < len(edges) else len(parts.nodes)
        while isinstance(parts.nodes[following - 1], op.Pad) and following - 1 > last:
            following -= 1
        end = min(last + 1 + _tail(unit), following)
        units.append(replace(unit, nodes=parts.nodes[begin:end]))
        begin = end
    units.append(replace(planned.units[-1], nodes=parts.nodes[begin:]))
    return Plan(units=tuple(units), input_shape=planned.input_shape)


def _tail(unit: Unit) -> int:
    """Operations of a unit after its last convolution, pool or addition."""
    places = [index for index, node in enumerate(unit.nodes) if isinstance(node, op.Conv | op.Pool | Fork)]
    return len(unit.nodes) - 1 - places[-1]


@lru_cache(maxsize=10_000)
def _apart(planned: Unit, found: Unit) -> int:
    return len(list(unit_steps(planned, found)))
