"""YAML in pages: that a block is a document of some kind, and that a mapping in running text is a part of one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from reskeras.documents.document import NETWORK, RECIPE
from reskeras.documents.validation import validated
from reskeras.errors import ReskerasError
from reskeras.experiments.suite import read_suite
from reskeras.networks.inception import InceptionSpec
from reskeras.networks.network import NetworkSpec
from reskeras.networks.request import BUILT, detector, localiser, network, refiner, spec_of
from reskeras.recipes.recipe import Recipe, recipe
from reskeras.spaces.space import Space, space

KINDS: dict[str, Callable[[Path], Any]] = {
    "network or detector": spec_of,
    "recipe": recipe,
    "space": space,
    "suite": read_suite,
}
# by what a field may be laid over to be looked at alone
OWNERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "recipe": lambda fields: validated(Recipe, fields),
    "network": lambda fields: network("resnet-18", **fields),
    "small network": lambda fields: network("cifar-resnet-20", **fields),
    "inception": lambda fields: network("inception-resnet-v2", **fields),
    "detector": lambda fields: detector("resnet-18", **fields),
    "localiser": lambda fields: localiser("resnet-18", **fields),
    "refiner": lambda fields: refiner("resnet-18", **fields),
}
NESTED = (Recipe, Space, NetworkSpec, InceptionSpec, *(kind for kind, _ in BUILT.values()))
SECTIONS = {NETWORK, RECIPE}  # of a file that has both
FIELD = re.compile(r"[a-z]\w*: \S.*")
OPEN_ENDED = re.compile(r"\.\.\.|\b[A-Z]{3,}\b| \| ")  # of which the value is not looked at


def problem(path: Path) -> str | None:
    """What is wrong with a YAML file; None if it is a document of one of the KINDS."""
    return "\n".join(_refusals(KINDS, path, "no")) or None


def _refusals(readers: Mapping[str, Callable[[Any], Any]], given: Any, no: str) -> list[str]:
    """Why each of the readers, by the kind that it reads, refuses what is given; none where one takes it."""
    refusals = []
    for kind, read in readers.items():
        try:
            read(given)
        except ReskerasError as error:
            refusals.append(f"{no} {kind}: {error}")
        else:
            return []
    return refusals


def span_problem(text: str) -> str | None:
    """What is wrong with a code span of running text, if it is YAML such as `holdout: 0.1`."""
    if not FIELD.fullmatch(text):
        return None
    try:
        fields = yaml.safe_load(text)
    except yaml.YAMLError:
        fields = None
    if OPEN_ENDED.search(text) or not isinstance(fields, dict):
        return None if text.partition(":")[0] in _deeper() | _top() | SECTIONS else "no document has this field"
    refusals = _refusals(OWNERS, fields, "of no")
    return "\n".join(refusals) if refusals and not {*fields} <= _deeper() else None


@cache
def _top() -> set[str]:
    """Names of the fields at the top of the documents."""
    return {name for kind in NESTED for name in kind.model_fields}


@cache
def _deeper() -> set[str]:
    """Names of the fields that are not at the top of a document."""

    def names(schema: Any) -> Iterator[str]:
        for key, value in schema.items() if isinstance(schema, dict) else enumerate(schema):
            if key == "properties":
                yield from value
            if isinstance(value, dict | list):
                yield from names(value)

    return {name for kind in NESTED for name in names(kind.model_json_schema())} - _top()
