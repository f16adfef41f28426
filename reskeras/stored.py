"""Reads reskeras' own small files, which may have been edited or damaged: validated, or a clear error."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from math import nan
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import PlainValidator, TypeAdapter, ValidationError

from reskeras.bounded import read_bounded
from reskeras.errors import failure, shown

LARGEST = 256 << 20  # bytes; a line of metrics for each of 100,000 epochs has 50 million
Shape = TypeVar("Shape")


def _number(value: Any) -> int | float:
    if value is None:  # strict_json writes null for a number that is not finite
        return nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("should be a number")
    return value


Number = Annotated[float, PlainValidator(_number)]  # integers stay integers


def read_text(path: Path, field: str) -> str:
    """What a file holds, which is UTF-8; `failure` that names `field` and the file when it cannot be read."""
    try:
        return read_bounded(path, LARGEST).decode()
    except UnicodeDecodeError as error:
        raise failure(f"{field}: {path} is broken: it is not UTF-8 text") from error
    except ValueError as error:
        raise failure(f"{field}: {path} is broken: {error}") from error
    except OSError as error:
        raise failure(f"{field}: {path} cannot be read: {(error.strerror or str(error)).lower()}") from error


def read_json(path: Path, field: str, shape: type[Shape]) -> Shape:
    """The JSON in a file as a `shape`: a type that pydantic knows, such as dict[str, float] or a dataclass.

    Raises `failure` that names `field`, the file and the first invalid value.
    """
    try:
        return as_shape(parsed(read_text(path, field)), shape)
    except ValueError as error:
        raise failure(f"{field}: {path} is broken: {error}") from error


def read_json_lines(path: Path, field: str, shape: type[Shape]) -> tuple[list[Shape], list[str]]:
    """The lines of a file that are JSON of that shape, and a message for each other line.

    Lines that were truncated by a crash or edited do not affect the others. Raises `failure` when the file cannot
    be read at all.
    """
    rows, problems = [], []
    for number, line in enumerate(read_text(path, field).split("\n"), 1):
        if line.strip():
            try:
                rows.append(as_shape(parsed(line), shape))
            except ValueError as error:
                problems.append(f"{field}: {path}, line {number} is broken and was skipped: {error}")
    return rows, problems


def read_names(path: Path, field: str, count: int | None = None, distinct: bool = True) -> list[str]:
    """The names in a file, one per line: `count` of them, none empty, and `distinct` ones; `failure` when not so."""
    lines = [line.removesuffix("\r") for line in read_text(path, field).removesuffix("\n").split("\n")]
    seen: dict[str, int] = {}
    for number, name in enumerate(lines, 1):
        if not name.strip() or "\0" in name:
            raise failure(f"{field}: {path} is broken: line {number} is {shown(name)}, which is not a valid name")
        if distinct and name in seen:
            raise failure(f"{field}: {path} is broken: lines {seen[name]} and {number} are both {shown(name)}")
        seen[name] = number
    if count is not None and len(lines) != count:
        raise failure(f"{field}: {path} is broken: it has {len(lines):,} names, and the network has {count:,} classes")
    return lines


def parsed(text: str) -> Any:
    """JSON text as plain data; ValueError of one line."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except ValueError as error:
        raise ValueError(" ".join(str(error).split())) from error


def as_shape(data: Any, shape: type[Shape]) -> Shape:
    """`data` checked and converted; ValueError that names the first field that is wrong, and its value."""
    try:
        return _adapter(shape).validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        why = "should be a mapping" if first["type"] == "dataclass_type" else first["msg"].lower()
        why = why.removeprefix("value error, ")
        what = "is missing" if first["type"] == "missing" else f"is {shown(first['input'])}: {why}"
        raise ValueError(f"{place} {what}" if place else f"it {what}") from error


_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)  # adapters are slow to make
