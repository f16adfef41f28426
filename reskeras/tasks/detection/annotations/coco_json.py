"""Parses a COCO instances JSON, which is untrusted, to plain data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reskeras.bounded import read_bounded
from reskeras.errors import ReskerasError, failure, shown
from reskeras.tasks.detection.cleaning import class_name

LARGEST_JSON = 2_000_000_000  # bytes
# of ids, the types that annotation tools write by mistake; images may be called by strings
IDS: dict[str, dict[str, Any]] = {
    "categories": {"id": (float, str)},
    "images": {"id": float},
    "annotations": {"category_id": (float, str), "image_id": float},
}


@dataclass(frozen=True)
class Instances:
    """The content of a JSON: `names` of classes by category id, `images` and `objects` as unvalidated dicts."""

    names: dict[int, str]
    images: list[dict[str, Any]]
    objects: list[dict[str, Any]]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes by ascending id."""
        return tuple(name for _, name in sorted(self.names.items()))


def read_instances(file: Path) -> Instances:
    """The instances in `file`. Raises ReskerasError: status 1 with the reason for any other file, 2 for ids that are
    not whole numbers, which match nothing or the wrong thing."""
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
    for name, fields in IDS.items():
        for place, entry in enumerate(lists[name]):
            for field, kinds in fields.items():
                if isinstance(entry.get(field), kinds):
                    raise ReskerasError(
                        f"data: {file}, {name}[{place}]: {field} {shown(entry[field])} should be a whole number"
                    )
    names = _names(file, lists["categories"])
    if (number := _placeholder(lists["categories"], lists["annotations"])) is not None:
        del names[number]
    return Instances(names, lists["images"], lists["annotations"])


def _names(file: Path, categories: list[dict[str, Any]]) -> dict[int, str]:
    pairs = [(category.get("id"), class_name(category.get("name"))) for category in categories]
    names = {number: name for number, name in pairs if type(number) is int and name is not None}
    if any(type(number) is not int or name is None for number, name in pairs):
        raise failure(f"data: {file} has a category without an id, or without a valid name")
    if not len(pairs) == len(names) == len(set(names.values())):
        raise failure(f"data: {file} has two categories with the same id or name")
    return names


def _placeholder(categories: list[dict[str, Any]], objects: list[dict[str, Any]]) -> int | None:
    """The id of the category that Roboflow writes for the set itself, above all others and without objects."""
    tops = [each for each in categories if each["id"] == 0 and each.get("supercategory") == "none"]
    others = [each for each in categories if each["id"] != 0]
    if not tops or not others or any(each.get("supercategory") != tops[0]["name"] for each in others):
        return None
    return None if any(each.get("category_id") == 0 for each in objects) else 0


def key(value: object) -> int | str | None:
    """The id of an image, a number or a string; None for anything else, which may be unhashable."""
    return value if type(value) is int or type(value) is str else None
