"""Parses a COCO instances JSON, which is untrusted, to plain data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reskeras.bounded import read_bounded
from reskeras.errors import failure
from reskeras.tasks.detection.cleaning import class_name

LARGEST_JSON = 2_000_000_000  # bytes


@dataclass(frozen=True)
class Instances:
    """The content of a JSON: `names` of classes by category id, `images` and `objects` as unvalidated dicts."""

    names: dict[int | str, str]
    images: list[dict[str, Any]]
    objects: list[dict[str, Any]]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes by ascending id; in the order of the file if ids are not numbers."""
        numbers = list(self.names)
        if all(isinstance(number, int) for number in numbers):
            numbers.sort()
        return tuple(self.names[number] for number in numbers)


def read_instances(file: Path) -> Instances:
    """The instances in `file`. Raises ReskerasError (status 1) with the reason for any other file."""
    try:
        data = json.loads(read_bounded(file, LARGEST_JSON))
    except OSError as error:
        raise failure(f"data: {file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise failure(f"data: {file} cannot be read as JSON: {str(error)[:200] or 'too large'}") from error
    lists: dict[str, list[dict[str, Any]]] = {}
    for name in ("images", "annotations", "categories"):
        found = data.get(name) if isinstance(data, dict) else None
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
            raise failure(f"data: {file} is not a COCO instances file: it has no list of {name}")
        lists[name] = found
    return Instances(_names(file, lists["categories"]), lists["images"], lists["annotations"])


def _names(file: Path, categories: list[dict[str, Any]]) -> dict[int | str, str]:
    pairs = [(key(category.get("id")), class_name(category.get("name"))) for category in categories]
    names = {number: name for number, name in pairs if number is not None and name is not None}
    if any(None in pair for pair in pairs):
        raise failure(f"data: {file} has a category without an id, or without a valid name")
    if not len(pairs) == len(names) == len(set(names.values())):
        raise failure(f"data: {file} has two categories with the same id or name")
    return names


def key(value: object) -> int | str | None:
    """A COCO id, a number or a string; None for anything else, which may be unhashable."""
    return value if type(value) is int or type(value) is str else None
