"""Where a network deviates from its paper: each field with the paper's value and the section that gives it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

from reskeras.documents.validation import validated
from reskeras.errors import ReskerasError
from reskeras.identification.closest import Closest
from reskeras.identification.dtype_policies import FLOAT32
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.catalog import catalog
from reskeras.networks.diff import field_changes
from reskeras.networks.inception import InceptionSpec
from reskeras.networks.network import NetworkSpec
from reskeras.networks.resolved import ResolvedNetwork
from reskeras.plans import operations as op
from reskeras.plans.plan import Plan

AnySpec = TypeVar("AnySpec", bound=AnyNetwork, covariant=True)
SILENT = "not in the papers"
# a field, or its last part, to the section that decides it; v1 is arXiv:1512.03385, v2 is arXiv:1603.05027
SECTIONS = {
    "family": "v1 table 1, section 4.2",
    "depth": "v1 table 1, section 4.2",
    "units": "v1 table 1, section 4.2",
    "width": "v1 table 1, section 4.2",
    "stride": "v1 section 3.3, table 1",
    "block": "v1 figure 5",
    "shortcut": "v1 section 3.3",
    "skip": "v2 section 3, figure 2",
    "order": "v1 section 3.4, v2 section 4, figure 4",
    "stride_on": "v1 table 1",
    "downsample": "v1 table 1",
    "stem": "v1 table 1, section 4.2",
    "head": "v1 section 3.3",
    "padding": f"{SILENT}; the authors' Caffe models pad both sides equally",
    "conv_bias": "v1 section 3.4",
    "bn": SILENT,
    "zero_gamma": f"{SILENT}; Goyal et al. 2017 section 5.1",
    "activation": f"v1 section 3.2: ReLU; others are {SILENT}",
    "initialiser": "v1 section 3.4, section 4.2",
    "groups": "arXiv:1611.05431 section 3",
    "inner_factor": "arXiv:1605.07146 section 2",
    "squeeze": "arXiv:1709.01507 section 3",
    "squeeze_multiple": "arXiv:1709.01507 section 3",
    "first_shortcut": "v2 appendix",
    "projection": "v1 section 3.3; arXiv:1812.01187 figure 2 c",
    "drop_path": f"{SILENT}; arXiv:1603.09382",
    "dropout": "v1 section 3.4: no dropout",
    "bias_start": "v2 section 3.1",
}
INCEPTION_PAPER = "arXiv:1602.07261"
INCEPTION_SECTIONS = {
    "scaling": f"{INCEPTION_PAPER} section 3.3",
    "cells": f"{INCEPTION_PAPER} figures 9, 15",
    "stem": f"{INCEPTION_PAPER} figures 3, 14",
    "dropout": f"{INCEPTION_PAPER} figure 9",
}
VGG_PAPER = "arXiv:1409.1556 table 1"
VGG_SECTIONS = dict.fromkeys(("initialiser", "dropout"), "arXiv:1409.1556 section 3.1")
PARTS = {"stem": "v1 table 1, section 4.2, v2 appendix", "head": "v1 section 3.3"}
UNIT_SECTION = "v1 figure 5, v2 figure 4"
DATA_FIELDS = ("classes", "input_shape")  # properties of the data, not of the network
# how much a field counts in the distance between two networks; any other counts 1
WEIGHTS = {
    "family": 20,
    "depth": 20,
    "units": 10,
    "width": 10,
    "block": 10,
    "order": 5,
    "shortcut": 5,
    "stem": 3,
    "inception": 20,
    "cells": 5,
    "last_linear": 3,
}
RESIDUAL = 1000  # whether there are shortcuts at all outweighs all fields together

# a spec has one value for all layers; remarks for a model whose layers differ
REMARKS = {
    "conv_bias": "0 in the spec where the model has none",
    "bn.scale": "1 in the spec where the model has none",
    "logits.bias": "0 in the spec",
}
# numbers that the comparison of functions ignores, by field: the operations that have one, and how to read it
NUMBERS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "conv_bias": (op.Conv, lambda node: node.bias),
    "bias_start": (op.Conv, lambda node: node.bias_start),
    "initialiser": (op.Conv | op.Dense, lambda node: node.initialiser),
    "bn.momentum": (op.BatchNorm, lambda node: node.momentum),
    "bn.scale": (op.BatchNorm, lambda node: node.scale),
    "zero_gamma": (op.BatchNorm, lambda node: node.gamma_start == 0),
    "dropout": (op.Dropout, lambda node: node.rate),
    "logits.bias": (op.Dense, lambda node: node.bias),
}


@dataclass(frozen=True)
class Deviation:
    """A field in which a network differs from its paper's; `remark` says what a spec cannot express."""

    field: str
    paper: Any
    value: Any
    section: str
    remark: str = ""


@dataclass(frozen=True)
class Reference(Generic[AnySpec]):
    """A paper's network: its name, its spec, its place in the paper."""

    name: str
    spec: AnySpec
    source: str


def section_of(field: str, spec: AnyNetwork) -> str:
    """The section of the paper that decides `field` of `spec`, a path such as `stages.0..3.order` or `bn.momentum`."""
    if isinstance(spec, InceptionSpec):
        return INCEPTION_SECTIONS.get(field, INCEPTION_PAPER)
    if not isinstance(spec, NetworkSpec):
        return VGG_SECTIONS.get(field, VGG_PAPER)
    return next((SECTIONS[part] for part in reversed(field.split(".")) if part in SECTIONS), SILENT)


def reference(spec: AnyNetwork) -> Reference[AnyNetwork]:
    """The paper's network nearest to `spec`: of its depth if there is one, in the catalogue or by the papers' rule."""
    if isinstance(spec, InceptionSpec):
        rows = {name: row for name, row in catalog().items() if isinstance(row.spec, InceptionSpec)}
        return min(
            (Reference(name, row.spec, row.source) for name, row in rows.items()),
            key=lambda each: _changes(each.spec, spec),
        )
    if not isinstance(spec, NetworkSpec):
        return Reference("vgg-19", catalog()["vgg-19"].spec, catalog()["vgg-19"].source)
    found = _pool(spec.decided())
    return min(found, key=lambda each: _distance(each.spec, spec))


def _pool(spec: ResolvedNetwork) -> list[Reference[NetworkSpec]]:
    """The candidates: networks of the same depth and family, else all residual networks of the catalogue."""
    known = _catalogued()
    alike = [each for each, decided in known if (decided.depth, decided.family) == (spec.depth, spec.family)]
    return alike or _by_rule(spec) or [each for each, _ in known]


def _by_rule(spec: ResolvedNetwork) -> list[Reference[NetworkSpec]]:
    """Networks of a depth that is in no table, by the rule of v1 section 4.2 or v2 table 3."""
    family = {} if spec.family is None else {"family": spec.family}
    try:
        found = [
            Reference(
                f"{spec.family}, {spec.depth} layers, {order}",
                validated(NetworkSpec, {**family, "depth": spec.depth, "block": spec.stages[0].block, "order": order}),
                "v1 section 4.2, v2 section 5",
            )
            for order in ("original", "full_preact")
        ]
        for each in found:
            each.spec.lower().unit_shapes()  # what does not fit together has no such network
    except ReskerasError:
        return []
    return found


@cache
def _catalogued() -> list[tuple[Reference[NetworkSpec], ResolvedNetwork]]:
    """The residual networks of the catalogue, each also with every field decided."""
    return [
        (Reference(name, row.spec, row.source), row.spec.decided())
        for name, row in catalog().items()
        if isinstance(row.spec, NetworkSpec)
    ]


def _distance(paper: NetworkSpec, spec: NetworkSpec) -> float:
    one, other = paper.decided(), spec.decided()
    return abs(one.depth - other.depth) / 1e6 + _changes(paper, spec) + RESIDUAL * (_is_plain(one) != _is_plain(other))


def _is_plain(spec: ResolvedNetwork) -> bool:
    return not spec.residual_rows


def _changes(paper: AnyNetwork, spec: AnyNetwork) -> float:
    """The fields that differ, weighted by how much they say about which network it is."""
    changes = [change for change in field_changes(paper, spec) if change.field not in DATA_FIELDS]
    return sum(max(WEIGHTS.get(part, 1) for part in change.field.split(".")) for change in changes)


def deviations(closest: Closest, paper: AnyNetwork) -> tuple[Deviation, ...]:
    """How the network differs from `paper`: in fields of its spec, and in numbers that no field can express."""
    spec = closest.spec
    fields = {
        change.field: Deviation(change.field, change.before, change.after, section_of(change.field, spec))
        for change in field_changes(paper, spec)
        if change.field not in DATA_FIELDS
    }
    if "depth" in fields and any(field.endswith("units") for field in fields):
        fields.pop("depth")  # it follows from `units`
    found = _numbers(closest.found)
    papers, specs = _numbers(paper.lower()), _numbers(closest.planned)
    for field, values in found.items():
        one_by_one = len(values) == len(specs[field])
        if values and (values != specs[field] if one_by_one else set(values) != set(specs[field])):
            fields[field] = Deviation(
                field,
                _counted(papers[field]),
                _counted(values),
                section_of(field, spec),
                REMARKS.get(field, "affects training only; a spec cannot express it"),
            )
    return tuple(fields.values())


def precision_deviation(precisions: Sequence[str]) -> tuple[Deviation, ...]:
    """A deviation if layers compute in another precision than float32, as the papers' networks are taken to."""
    if set(precisions) <= {FLOAT32}:
        return ()
    return (
        Deviation("precision", FLOAT32, _counted(list(precisions)), SILENT, "results are rounded; not part of a spec"),
    )


def _numbers(plan: Plan) -> dict[str, list[Any]]:
    """The values of NUMBERS, operation by operation."""
    ops = list(plan.ops())
    return {field: [value(each) for each in ops if isinstance(each, kind)] for field, (kind, value) in NUMBERS.items()}


def _counted(values: list[Any]) -> Any:
    """A single value as it is; several with their counts."""
    counts = Counter(values)
    if len(counts) == 1:
        return values[0]
    return (
        ", ".join(
            f"{str(value).lower() if isinstance(value, bool) else value} ({count})"
            for value, count in counts.most_common()
        )
        or None
    )
