"""The fields in which two pieces of plain data differ, by dotted name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from reskeras.errors import shown

MOST_SHOWN = 3


@dataclass(frozen=True)
class FieldChange:
    """A field whose value differs; None where a side does not have it."""

    field: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.field} {shown(self.after)} instead of {shown(self.before)}"


def changes(before: Any, after: Any, name: str = "", groups: bool = False) -> list[FieldChange]:
    """What differs between the plain data `before` and `after`, in the order of their fields; `name` is theirs. With
    `groups`, fields of what is null on the other side are one change: it is off there, or unknown."""
    old, new = dict(flat(before, name)), dict(flat(after, name))
    if groups:
        _group(old, new)
        _group(new, old)
    found = [FieldChange(each, old.get(each), new.get(each)) for each in {**old, **new}]
    return [each for each in found if each.before != each.after]


def _group(one: Mapping[str, Any], other: dict[str, Any]) -> None:
    """Put the fields of `other` together that are inside a field that is None in `one`."""
    for outer in [field for field, value in one.items() if value is None]:
        if inside := [field for field in other if field.startswith(f"{outer}.")]:
            other[outer] = {field.removeprefix(f"{outer}."): other.pop(field) for field in inside}


def in_words(found: Iterable[FieldChange]) -> str:
    """The first few changes in one line, such as `recipe.epochs 3 instead of 2; seed 5 instead of 0`."""
    return "; ".join(map(str, islice(found, MOST_SHOWN)))


def flat(data: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Nested plain data as dotted names and values; lists of plain values stay whole."""
    if isinstance(data, list) and not any(isinstance(item, dict) for item in data):
        yield name, data
    elif isinstance(data, Mapping | list):
        for key, value in data.items() if isinstance(data, Mapping) else enumerate(data):
            yield from flat(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, data
