"""Specs as text: safe YAML, with the line of every value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from reskeras.errors import ReskerasError
from reskeras.files import local_path, reason

LARGEST_DOCUMENT = 1 << 18  # bytes, which take PyYAML four seconds; a resolved network is a few kilobytes
LONGEST_NUMBER = 64  # characters; Python needs quadratic time for digits, and has a limit of its own
DEEPEST_NESTING = 20
# what PyYAML lets through when a value does not fit, such as !!int x, !!bool 3 or the date 2001-13-45
UNREADABLE = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError)

Lines = dict[tuple, int]
NETWORK, RECIPE = "network", "recipe"  # the two parts of a file that has both


class _Loader(yaml.SafeLoader):
    """SafeLoader without aliases, which let a few lines stand for billions of values, and without YAML 1.1's base-60
    numbers, in which 1:30 is 90: as in YAML 1.2, that is text."""

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

    def resolve(self, kind, value, implicit):
        tag = super().resolve(kind, value, implicit)
        return self.DEFAULT_SCALAR_TAG if tag.endswith((":int", ":float")) and ":" in value else tag

    def construct_number(self, node):
        text = self.construct_scalar(node)
        if len(text) > LONGEST_NUMBER:
            raise yaml.YAMLError(
                f"line {node.start_mark.line + 1}: a number of {len(text):,} characters, more than {LONGEST_NUMBER}"
            )
        if ":" in text:
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: {text} is not a number")
        return self.construct_yaml_int(node) if node.tag.endswith(":int") else self.construct_yaml_float(node)

    def construct_mapping(self, node, deep=False):
        data = super().construct_mapping(node, deep)
        # _note_lines has seen those that are written alike
        if len(data) < len(node.value):
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: a field is given twice")
        return data


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_number)


def parse_yaml(text: str, where: str) -> tuple[dict[str, Any], Lines]:
    """Safe YAML text to a mapping and the line of every value, by path.

    Raises ReskerasError (status 2) that names `where` for broken YAML, tags, aliases, repeated keys
    and anything that is not a mapping.
    """
    if len(text) > LARGEST_DOCUMENT:
        raise ReskerasError(f"{where}: too large, more than {LARGEST_DOCUMENT:,} bytes")
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines: Lines = {}
        if node is not None:
            _note_lines(node, (), lines, where)
        data = loader.construct_document(node) if node is not None else None
    except yaml.YAMLError as error:
        raise ReskerasError(f"{where}: not a valid YAML document: {_yaml_problem(error)}") from error
    except UNREADABLE as error:
        raise ReskerasError(f"{where}: a value does not match its tag or format: {_one_line(error)}") from error
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(data, dict):
        raise ReskerasError(f"{where}: expected a mapping of fields such as 'depth: 50', got {kind_of(data)}")
    return data, lines


def read_yaml(path: Path) -> tuple[dict[str, Any], Lines]:
    """`parse_yaml` of a file; a missing or unreadable file is a ReskerasError that names it."""
    path = local_path(path, "file")
    try:
        if path.stat().st_size > LARGEST_DOCUMENT:
            raise ReskerasError(f"{path}: too large, more than {LARGEST_DOCUMENT:,} bytes")
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise ReskerasError(f"{path}: not UTF-8 text") from error
    except OSError as error:
        raise ReskerasError(f"{path}: cannot be read: {reason(error)}") from error


def section(name: str, data: dict[str, Any], lines: Lines) -> tuple[dict[str, Any], Lines]:
    """Of a file with the parts `network` and `recipe`, part `name`; any other file is that part itself."""
    if NETWORK not in data or set(data) - {NETWORK, RECIPE}:
        return data, lines
    part = data.get(name)
    inside = {path[1:]: line for path, line in lines.items() if path[:1] == (name,)}
    return (part if isinstance(part, dict) else {name: part}), inside


def to_yaml(data: dict[str, Any]) -> str:
    """Plain data as YAML, in the order given; lists of plain values on one line."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=110)


class _Dumper(yaml.SafeDumper):
    def represent_sequence(self, tag, sequence, flow_style=None):
        plain = all(isinstance(item, (int, float, str)) for item in sequence)
        return super().represent_sequence(tag, sequence, flow_style=plain)


_Dumper.add_representer(list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value))


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
        if error.problem.startswith("could not determine a constructor for the tag"):
            tag = error.problem.rpartition(" ")[2].strip("'").removeprefix("tag:yaml.org,2002:")
            return f"line {error.problem_mark.line + 1}: the tag {tag} is not allowed; only plain values are"
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return _one_line(error)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def kind_of(value: Any) -> str:
    """What a person calls the type of a YAML value."""
    names = {dict: "a mapping", list: "a list", str: "text", int: "a number", float: "a number", type(None): "nothing"}
    return names.get(type(value), type(value).__name__)
