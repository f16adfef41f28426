"""A graph read as an Inception network (arXiv:1602.07261): its stem, then each kind of cell counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from reskeras.documents.validation import validated
from reskeras.errors import ReskerasError
from reskeras.identification.canonical import canonical_plan
from reskeras.identification.functional import functional
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.inception import INCEPTION, InceptionSpec
from reskeras.networks.inception_cells import KINDS, SCALING, STEMS
from reskeras.plans import operations as op
from reskeras.plans.initialisers import INITIALISERS
from reskeras.plans.merges import Concat
from reskeras.plans.nodes import Fork, Sequence, sequence_ops, walk
from reskeras.plans.plan import Plan, Unit

Data = dict[str, Any]
FIRST_WIDTH = 32  # of every stem's first convolution
DIGITS = 4  # of a width factor
OPEN_INPUT = (299, 299)


def read_inception(nodes: Sequence, shape: tuple[int | None, ...]) -> tuple[InceptionSpec, tuple[Unit, ...]] | None:
    """The spec of the canonical sequence `nodes`, and the nodes cut into its units; None for any other network.

    Kinds and stems are tried in turn; cells are counted, and scaling factors of residuals are read off them.
    """
    if not any(isinstance(node, Fork) and node.merge == Concat() for node in walk(nodes)):
        return None
    ops = list(sequence_ops(nodes))
    height, width = (size or open_ for size, open_ in zip(shape, OPEN_INPUT, strict=False))
    for kind, stem, factor in product(KINDS, STEMS, _factors(ops)):
        base = {
            INCEPTION: kind,
            "stem": stem,
            "width_factor": factor,
            "bn": _norm(ops),
            "input_shape": [height, width, shape[-1] or 3],
            **_head(nodes, ops, factor),
        }
        try:
            data = _Cells(nodes, base).data()
            found = data and _cut(nodes, data)
        except ReskerasError:  # a kind whose cells do not fit the images
            continue
        if found:
            return found
    return None


def _cut(nodes: Sequence, data: Data) -> tuple[InceptionSpec, tuple[Unit, ...]] | None:
    """`nodes` cut into the units of the spec of `data`; None when there are more or fewer operations."""
    spec = validated(InceptionSpec, _simplest(data))
    units, begin = [], 0
    for unit in canonical_plan(spec.lower()).units:
        length = sum(not isinstance(node, op.Dropout) for node in unit.nodes)
        end = begin
        while end < len(nodes) and (length or isinstance(nodes[end], op.Dropout)):
            length -= not isinstance(nodes[end], op.Dropout)
            end += 1
        if length:
            return None
        units.append(replace(unit, nodes=nodes[begin:end]))
        begin = end
    return (spec, tuple(units)) if begin == len(nodes) else None


@dataclass(frozen=True)
class _Cells:
    """Finds the cells of one kind and stem in `nodes`; `base` holds the fields known so far."""

    nodes: Sequence
    base: Data

    def data(self) -> Data | None:
        """The fields of the spec; None when the nodes are something else."""
        plan = self._plan({**self.base, "cells": [1, 1, 1]})
        place = self._after(plan.units[0], 0)
        counts, scaling, last_linear = [], [], False
        for stage in range(3):
            *reduction, cell = (unit for unit in plan.units if unit.stage == stage + 1)
            for unit in reduction:
                place = None if place is None else self._after(unit, place)
            count, factors = 0, Counter[float]()
            while place is not None and (following := self._after(cell, place)):
                factors[_factor(self.nodes[place])] += 1
                count, place = count + 1, following
            linear = place is not None and stage == 2 and self._after(_without_relu(cell), place)
            if linear and KINDS[self.base[INCEPTION]].residual:
                last_linear, count, place = True, count + 1, linear
            if not count:
                return None
            counts.append(count)
            scaling.append(factors.most_common(1)[0][0] if factors else SCALING[stage])  # not visible in the graph
        scaled = {"scaling": scaling} if KINDS[self.base[INCEPTION]].residual else {}
        return {**self.base, **scaled, "cells": counts, "last_linear": last_linear}

    def _plan(self, data: Data) -> Plan:
        spec = validated(InceptionSpec, data)
        return _comparable(canonical_plan(spec.lower()).units, spec)

    def _after(self, unit: Unit, place: int) -> int | None:
        """Index after `unit` if it begins at `place`, scaling factors aside; None if it does not."""
        end = place + len(unit.nodes)
        there = _comparable((replace(unit, nodes=self.nodes[place:end]),), None).units[0]
        return end if there.nodes == unit.nodes else None


def _comparable(units: tuple[Unit, ...], spec: AnyNetwork | None) -> Plan:
    """Units as inference functions, without scaling factors of residuals, which are read separately."""
    plan = functional(Plan(units=units, input_shape=(1, 1, 1)), spec)
    return plan.mapped(lambda node: None if isinstance(node, op.Scale) else node)


def _without_relu(cell: Unit) -> Unit:
    return replace(cell, nodes=tuple(node for node in cell.nodes if not isinstance(node, op.Relu)))


def _factor(cell: Any) -> float:
    """The scaling factor of a cell's residual."""
    last = cell.branches[-1][-1] if isinstance(cell, Fork) and cell.branches[-1] else None
    return last.factor if isinstance(last, op.Scale) else 1.0


def _factors(ops: list[op.Op]) -> list[float]:
    """Width factors that explain the filters of the first convolution, the roundest first."""
    first = next((each.filters for each in ops if isinstance(each, op.Conv)), 0)
    low, high = (first - 0.5) / FIRST_WIDTH, (first + 0.5) / FIRST_WIDTH
    widest = max((each.filters for each in ops if isinstance(each, op.Conv)), default=0)
    asked = [first / FIRST_WIDTH, *(widest / width for width in (512, 448, 384, 320))]
    rounded = [round(factor, digits) for digits in range(1, DIGITS + 1) for factor in asked]
    return list(dict.fromkeys(factor for factor in [*rounded, *asked] if low <= factor <= high and factor > 0))


def _norm(ops: list[op.Op]) -> Data:
    norms = Counter((each.momentum, each.epsilon, each.scale) for each in ops if isinstance(each, op.BatchNorm))
    if not norms:
        return {}
    momentum, epsilon, scale = norms.most_common(1)[0][0]
    return {"momentum": momentum, "epsilon": epsilon, "scale": scale}


def _head(nodes: Sequence, ops: list[op.Op], factor: float) -> Data:
    """Dropout, classes, the last convolution's width and the initialiser."""
    data: Data = {"dropout": next((node.rate for node in nodes if isinstance(node, op.Dropout)), 0.0)}
    if isinstance(nodes[-1], op.Dense):
        data["classes"] = nodes[-1].units
    last = [node for node in nodes if isinstance(node, op.Conv | Fork)][-1]
    if isinstance(last, op.Conv):
        data["final_width"] = max(round(last.filters / factor), 1)
    starts = Counter(each.initialiser for each in ops if isinstance(each, op.Conv | op.Dense)).most_common(1)
    if starts and starts[0][0] in INITIALISERS:
        data["initialiser"] = starts[0][0]
    return data


def _simplest(data: Data) -> Data:
    """`data` without fields that equal their defaults."""
    wanted = validated(InceptionSpec, data)
    for name in list(data):
        shorter = {key: value for key, value in data.items() if key != name}
        if name != INCEPTION and validated(InceptionSpec, shorter) == wanted:
            data = shorter
    return data
