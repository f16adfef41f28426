"""A fully specified spec reduced to the few fields that a person would write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reskeras.documents.validation import validated
from reskeras.errors import ReskerasError
from reskeras.networks.network import NetworkSpec

Data = dict[str, Any]
SHARED = ("block", "shortcut", "skip", "order")  # of a stage, and of the network for all stages


def simplest(data: Data) -> Data:
    """`data`, which has `stages`, without fields that follow from the others: it resolves to the same network."""
    wanted = _resolved(data)
    for shorter in (_hoisted(data), *_by_depth(_hoisted(data), wanted.layers)):
        if _resolved(shorter) == wanted:
            data = shorter
    while (found := next((each for each in _shorter(data) if _resolved(each) == wanted), None)) is not None:
        data = found
    return data


def _resolved(data: Data) -> Any:
    try:
        return validated(NetworkSpec, data).decided()
    except ReskerasError:  # a required field was left out
        return None


def _hoisted(data: Data) -> Data:
    """Fields that all stages share moved to the network."""
    rows = [dict(row) for row in data["stages"]]
    shared = {}
    for name in SHARED:
        values = [row.get(name) for row in rows]
        if values[0] is not None and all(value == values[0] for value in values):
            shared[name] = values[0]
            rows = [{key: value for key, value in row.items() if key != name} for row in rows]
    return {**data, **shared, "stages": rows}


def _by_depth(data: Data, depth: int) -> Iterator[Data]:
    """`depth` in place of the stages."""
    rest = {name: value for name, value in data.items() if name != "stages"}
    yield {"depth": depth, **rest}


def _shorter(data: Data) -> Iterator[Data]:
    """`data` without one field, of a stage or of the network; the most telling ones are left out last."""
    for index, row in enumerate(data.get("stages", [])):
        for name in row:
            if name != "units":
                rows = list(data["stages"])
                rows[index] = {key: value for key, value in row.items() if key != name}
                yield {**data, "stages": rows}
    for name in reversed(data):
        if name not in ("depth", "stages"):
            yield {key: value for key, value in data.items() if key != name}
