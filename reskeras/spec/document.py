"""Specs as text: safe YAML with line numbers, and validation errors that name field, value, choices and place."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from reskeras.errors import ReskerasError, shown, unknown

LARGEST_DOCUMENT = 1 << 20  # bytes; a resolved network is a few kilobytes
DEEPEST_NESTING = 20
# what PyYAML lets through when a value does not fit, such as !!int x, !!bool 3 or the date 2001-13-45
UNREADABLE = (ValueError, LookupError, AttributeError, TypeError)

Model = TypeVar("Model", bound=BaseModel)
Lines = dict[tuple, int]


class _Loader(yaml.SafeLoader):
    """SafeLoader without aliases, which let a few lines stand for billions of values."""

    depth = 0

    def compose_node(self, parent, index):
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError(f"line {self.peek_event().start_mark.line + 1}: aliases (*name) are not allowed")
        self.depth += 1
        if self.depth > DEEPEST_NESTING:
            raise yaml.YAMLError(f"nested deeper than {DEEPEST_NESTING} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def parse_yaml(text: str, where: str) -> tuple[dict[str, Any], Lines]:
    """Safe YAML text to a mapping and the line of every value, by path.

    Raises ReskerasError (status 2) that names `where` for broken YAML, tags, aliases, repeated keys
    and anything that is not a mapping.
    """
    if len(text) > LARGEST_DOCUMENT:
        raise ReskerasError(f"{where}: larger than {LARGEST_DOCUMENT} bytes, which no spec is")
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines: Lines = {}
        if node is not None:
            _note_lines(node, (), lines, where)
        data = loader.construct_document(node) if node is not None else None
    except yaml.YAMLError as error:
        raise ReskerasError(f"{where}: not a safe YAML document: {_yaml_problem(error)}") from error
    except UNREADABLE as error:
        raise ReskerasError(f"{where}: a value is not what its tag or form says: {_one_line(error)}") from error
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(data, dict):
        raise ReskerasError(f"{where}: expected a mapping of fields such as 'depth: 50', got {_kind(data)}")
    return data, lines


def read_yaml(path: Path) -> tuple[dict[str, Any], Lines]:
    """`parse_yaml` of a file; a missing or unreadable file is a ReskerasError that names it."""
    try:
        if path.stat().st_size > LARGEST_DOCUMENT:
            raise ReskerasError(f"{path}: larger than {LARGEST_DOCUMENT} bytes, which no spec is")
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ReskerasError(f"{path}: cannot be read: {_one_line(error)}") from error


def to_yaml(data: dict[str, Any]) -> str:
    """Plain data as YAML, in the order given; short lists stand on one line."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=110)


class _Dumper(yaml.SafeDumper):
    def represent_sequence(self, tag, sequence, flow_style=None):
        plain = all(isinstance(item, (int, float, str)) for item in sequence)
        return super().represent_sequence(tag, sequence, flow_style=plain)


_Dumper.add_representer(list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value))


def validated(model: type[Model], data: Any, where: str = "", lines: Lines | None = None) -> Model:
    """`data` as a `model`; the first thing wrong becomes a ReskerasError (status 2)."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _explain(model, error.errors()[0], where, lines or {}) from error


def _explain(model: type[BaseModel], error: dict[str, Any], where: str, lines: Lines) -> ReskerasError:
    loc = error["loc"]
    # pydantic puts the kind of a skip into the path, as in ('skip', 'dropout', 'rate')
    path = tuple(part for index, part in enumerate(loc) if index == 0 or loc[index - 1] != "skip" or part == "kind")
    place = _place(path, where, lines)
    field, value, kind, context = ".".join(map(str, path)), error["input"], error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown("field", field, _fields_at(model, path), place)
    if kind in ("literal_error", "enum"):
        return unknown(field, value, context["expected"].replace("'", "").replace(" or ", ", ").split(", "), place)
    if kind == "union_tag_invalid":
        return unknown(field, context["tag"], context["expected_tags"].replace("'", "").split(", "), place)
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    message = message[0].lower() + message[1:]
    whole = not isinstance(value, (dict, list, BaseModel)) or len(repr(value)) < 60
    subject = f"{field}: {shown(value) if whole else _kind(value)}: " if field else ""
    return ReskerasError(f"{subject}{message}" + (f" (in {place})" if place else ""))


def _fields_at(model: type[BaseModel], path: tuple) -> list[str]:
    """Names of the fields that the mapping holding `path` may have."""
    schema = model.model_json_schema()
    here = schema
    for part in path[:-1]:
        here = _follow(schema, here, part)
    return sorted(_properties(schema, here))


def _follow(schema: dict, here: dict, part: Any) -> dict:
    for option in _options(schema, here):
        if isinstance(part, int) and "items" in option:
            return option["items"]
        if part in option.get("properties", {}):
            return option["properties"][part]
    return {}


def _properties(schema: dict, here: dict) -> set[str]:
    return {name for option in _options(schema, here) for name in option.get("properties", {})}


def _options(schema: dict, here: dict) -> list[dict]:
    if "$ref" in here:
        return _options(schema, schema["$defs"][here["$ref"].rsplit("/", 1)[1]])
    nested = here.get("anyOf", []) + here.get("oneOf", [])
    return [here] if not nested else [option for one in nested for option in _options(schema, one)]


def place_of(field: str, where: str, lines: Lines) -> str:
    """The file and, where it is known, the line of a dotted field, or of the nearest field around it."""
    return _place(tuple(int(part) if part.isdecimal() else part for part in field.split(".")), where, lines)


def _place(path: tuple, where: str, lines: Lines) -> str:
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return f"{where}, line {lines[path[:length]]}"
    return where


def _note_lines(node: yaml.Node, path: tuple, lines: Lines, where: str) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            child = (*path, key.value if isinstance(key, yaml.ScalarNode) else str(key.start_mark))
            if child in lines:
                raise ReskerasError(f"{where}, line {key.start_mark.line + 1}: field {key.value!r} is given twice")
            _note_lines(value, child, lines, where)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _note_lines(value, (*path, index), lines, where)


def _yaml_problem(error: yaml.YAMLError) -> str:
    """What is wrong and in which line, without the excerpt that PyYAML adds."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return _one_line(error)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _kind(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "text", int: "a number", float: "a number", type(None): "nothing"}
    return names.get(type(value), type(value).__name__)
