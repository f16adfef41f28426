"""Units of a plan as plain data for JSON, and back; what a layer that holds units keeps in its configuration."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from reskeras.errors import failure
from reskeras.spec.operations import Op
from reskeras.spec.plan import Fork, Node, Sequence, Unit

KINDS = {kind.kind: kind for kind in Op.__subclasses__()}


def unit_data(unit: Unit) -> dict[str, Any]:
    """A unit as dicts, lists and numbers."""
    return {"name": unit.name, "nodes": [_node_data(node) for node in unit.nodes]}


def unit_from_data(data: dict[str, Any]) -> Unit:
    """What `unit_data` was made of; ReskerasError (status 1) for anything else."""
    try:
        return Unit(name=data["name"], nodes=_sequence(data["nodes"]))
    except (KeyError, TypeError) as error:
        raise failure(f"unit: broken description of a unit: {error}") from error


def _node_data(node: Node) -> dict[str, Any]:
    values = {field.name: getattr(node, field.name) for field in fields(node)}
    if isinstance(node, Fork):
        values["branches"] = [[_node_data(inner) for inner in branch] for branch in node.branches]
    return {"kind": "fork" if isinstance(node, Fork) else node.kind,
            **{name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}}


def _sequence(data: list[dict[str, Any]]) -> Sequence:
    return tuple(_node(node) for node in data)


def _node(data: dict[str, Any]) -> Node:
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
              if name != "kind"}
    if data["kind"] == "fork":
        return Fork(**{**values, "branches": tuple(_sequence(branch) for branch in data["branches"])})
    return KINDS[data["kind"]](**values)
