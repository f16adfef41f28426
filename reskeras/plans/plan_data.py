"""Units of a plan as plain data for JSON, and back; the configuration of layers that hold units."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import cache
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from reskeras.errors import failure
from reskeras.plans.merges import MERGES
from reskeras.plans.nodes import Fork, Node, Sequence
from reskeras.plans.operations import OPERATIONS
from reskeras.plans.plan import Unit

FORK = "fork"


def unit_data(unit: Unit) -> dict[str, Any]:
    """A unit as dicts, lists and numbers."""
    return {"name": unit.name, "nodes": [_node_data(node) for node in unit.nodes]}


def unit_from_data(data: dict[str, Any]) -> Unit:
    """The unit that `unit_data` described; ReskerasError (status 1) for anything else."""
    try:
        numbers = re.fullmatch(r"stage(\d+)_unit(\d+)", data["name"])
        place = {"stage": int(numbers[1]), "index": int(numbers[2])} if numbers else {"stage": data["name"]}
        return Unit(**place, nodes=_sequence(data["nodes"]))
    except (KeyError, TypeError) as error:
        raise failure(f"unit: its description is broken: {error}") from error


def field_values(record: Any) -> dict[str, Any]:
    """The fields of an operation or a merge, tuples as lists; without its `later` ones that have their defaults."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    for each in fields(record):
        if each.name in getattr(record, "later", ()) and values[each.name] == each.default:
            del values[each.name]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def from_fields(kind: type, data: dict[str, Any]) -> Any:
    """The record of `kind` with these fields; TypeError where one is missing, unknown or of another type."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    for name, known in _types(kind).items():
        try:
            if name in values:
                known.validate_python(values[name], strict=True)
        except ValidationError as error:
            raise TypeError(f"{kind.__name__}: {name}: {error.errors()[0]['msg']}") from None
    return kind(**values)


@cache
def _types(kind: type) -> dict[str, TypeAdapter[Any]]:
    hints = get_type_hints(kind)
    return {each.name: TypeAdapter(hints[each.name]) for each in fields(kind)}


def _node_data(node: Node) -> dict[str, Any]:
    if isinstance(node, Fork):
        branches = [[_node_data(inner) for inner in branch] for branch in node.branches]
        return {
            "kind": FORK,
            "name": node.name,
            "branches": branches,
            "merge": node.merge.kind,
            **field_values(node.merge),
        }
    return {"kind": node.kind, **field_values(node)}


def _sequence(data: list[dict[str, Any]]) -> Sequence:
    return tuple(_node(node) for node in data)


def _node(data: dict[str, Any]) -> Node:
    rest = {name: value for name, value in data.items() if name != "kind"}
    if data["kind"] != FORK:
        return from_fields(OPERATIONS[data["kind"]], rest)
    kind = MERGES[data["merge"]]  # in older files every fork has the fields of all merges
    return Fork(
        name=data["name"],
        branches=tuple(_sequence(branch) for branch in data["branches"]),
        merge=from_fields(kind, {field.name: data[field.name] for field in fields(kind)}),
    )
