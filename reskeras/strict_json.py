"""JSON that every reader accepts: numbers that are not finite, which JSON lacks, become null."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def to_json(data: Any, indent: int | None = None) -> str:
    """Plain data as ASCII JSON; NaN and infinities are null."""
    return json.dumps(_finite(data), indent=indent, allow_nan=False)


def json_list(entries: Iterable[Any], indent: int | None = None) -> Iterator[str]:
    """A list as JSON and a line end, in parts, one for each of `entries`, which are made as they are asked for: with
    `indent` the same as `to_json` of all of them, else an entry on each line."""
    before, between = "[", ",\n"
    for entry in entries:
        lines = to_json(entry, indent)
        yield f"{before}\n" if before else between
        yield textwrap.indent(lines, " " * (indent or 0))
        before = ""
    yield "[]\n" if before else "\n]\n"


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {key: _finite(value) for key, value in data.items()}
    return [_finite(value) for value in data] if isinstance(data, list | tuple) else data
