"""The reference of YAML files, field by field, from their JSON Schemas."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from docs.site.page import Page, address, block, code, prose, table
from reskeras.documents.fields import Spec
from reskeras.networks.families import DEFAULT_SHORTCUT, DEFAULTS, FAMILIES, OTHER_SHORTCUT, STRIDE_ON
from reskeras_cli.schema import kinds

INDEX = "reference/yaml.md"
HEAD = ["field", "value", "default", "meaning"]
WORDS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true`, `false`"}


def _spelled(value: object) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


LEAD = """Every field of the files that you write. Reading them refuses an unknown field or a value out of range, with
its line. A field without a default may be left out; the rest of the file then decides.

An editor that supports the YAML language server completes and checks them:"""
EXAMPLE = """reskeras schema network > network.schema.json
echo '# yaml-language-server: $schema=network.schema.json' > mine.yaml"""


def _by_family(name: str) -> str:
    values = {family: getattr(preset, name) for family, preset in FAMILIES.items()}
    return ", ".join(f"{family}: {code(json.dumps(value))}" for family, value in values.items())


# what fields without a default of their own are where a file leaves them out, by kind of mapping
DECIDED = {
    "NetworkSpec": {
        **{name: code(_spelled(value)) for name, value in DEFAULTS.items() if not isinstance(value, Spec)},
        "family": "the depth's",
        "block": f"the depth's, or {code('basic')}",
        "shortcut": f"{code(OTHER_SHORTCUT)}; "
        + ", ".join(f"{family} {block}: {code(name)}" for (family, block), name in DEFAULT_SHORTCUT.items()),
        "skip": code("identity"),
        "stride_on": code(STRIDE_ON),
        "stem": "the family's",
        "squeeze": "none",
        "width_factor": code("1.0"),
        **{name: _by_family(name) for name in ("classes", "input_shape")},
    }
}


def pages() -> list[Page]:
    """A page for each kind of YAML file, after the page that lists them."""
    written = [_page(name, spec.model_json_schema(), _file(spec)) for name, spec in kinds().items()]
    to = partial(address, INDEX)
    rows = [
        [f"[{each.title}]({to(each.path)})", code(f"reskeras schema {name}"), prose(each.summary)]
        for name, each in zip(kinds(), written, strict=True)
    ]
    listed = table(["file", "JSON Schema", "what it describes"], rows)
    text = "\n\n".join(["# YAML files", LEAD, block(EXAMPLE, "shell"), listed])
    return [Page(INDEX, "All files", text, "docs/site/schemas.py", "The YAML files that reskeras reads."), *written]


def _file(spec: type) -> str:
    return f"{spec.__module__.replace('.', '/')}.py"


def _page(name: str, schema: Mapping[str, Any], source: str) -> Page:
    described = schema.get("description", "")
    parts = [
        f"# {name.capitalize()} files",
        prose(inspect.cleandoc(described)),
        *Fields(schema.get("$defs", {})).sections(schema),
    ]
    return Page(
        f"reference/{name}.md",
        name.capitalize(),
        "\n\n".join(parts),
        source,
        described.split("\n\n")[0].replace("\n", " "),
    )


@dataclass
class Fields:
    """The fields of one kind of file. A mapping that is used in several places is described where it is met first."""

    definitions: Mapping[str, Any]
    places: dict[str, str] = field(default_factory=dict)  # where each mapping is described

    def sections(self, schema: Mapping[str, Any]) -> Iterator[str]:
        """The table of the file's own fields, then a section for each mapping in it."""
        waiting = [("", "", schema)]
        while waiting:
            path, title, node = waiting.pop(0)
            if title:
                yield f"## {title} {{#{_anchor(self._place(path, node))}}}"
                yield prose(inspect.cleandoc(node.get("description", "")))
            inner: list[tuple[str, str, Mapping[str, Any]]] = []
            rows = [self._row(path, name, each, node, inner) for name, each in node.get("properties", {}).items()]
            if rows:
                yield table(HEAD, rows, kind="fields")
            waiting = inner + waiting

    def _place(self, path: str, node: Mapping[str, Any]) -> str:
        kind = _kind(node)
        return f"{path}-{kind}" if kind else f"{path}-fields"

    def _row(
        self, path: str, name: str, each: Mapping[str, Any], node: Mapping[str, Any], inner: list[Any]
    ) -> list[str]:
        full = f"{path}.{name}" if path else name
        said = each.get("description") or self._first_sentence(each)
        required = name in node.get("required", ())
        value = self._value(full, each, inner)
        decided = DECIDED.get(node.get("title", ""), {})
        shown = "*required*" if required else self._default(each) or decided.get(name, "")
        anchor = f"{self._place(path, node)}.{name}" if _kind(node) else _anchor(full)  # fields of several kinds
        return [f'<span id="{anchor}">{code(full)}</span>', value, shown, prose(said)]

    def _first_sentence(self, each: Mapping[str, Any]) -> str:
        """What an alternative of a field says of it, or the mapping that it is."""
        for option in (each, *each.get("anyOf", ())):
            if "description" in option:
                return str(option["description"])
            if "$ref" in option:
                said = inspect.cleandoc(self._met(option).get("description", "")).split("\n\n")[0].replace("\n", " ")
                return said.split(". ")[0].rstrip(".")
        return ""

    def _met(self, option: Mapping[str, Any]) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.definitions[option["$ref"].rpartition("/")[2]]
        return found

    def _default(self, each: Mapping[str, Any]) -> str:
        default = each.get("default")
        if default is None:
            return ""
        if isinstance(default, dict):
            return code(default["kind"]) if "kind" in default and len(default) == 1 else ""
        return code(_spelled(default))

    def _value(self, path: str, each: Mapping[str, Any], inner: list[Any]) -> str:
        """What a field may hold, in words; mappings that are not described yet are added to `inner`."""
        if "$ref" in each:
            return self._mapping(path, each, inner)
        for several in ("anyOf", "oneOf"):
            if several in each:
                return self._either(path, each[several], inner)
        if "const" in each:
            return code(str(each["const"]))
        if "enum" in each:
            return ", ".join(code(str(one)) for one in each["enum"])
        kind = each.get("type")
        if kind == "array":
            return self._list(path, each, inner)
        if kind == "object":
            return self._named(path, each, inner)
        return f"{WORDS[kind]}{_bounds(each)}" if kind in WORDS else "anything"

    def _either(self, path: str, options: list[Mapping[str, Any]], inner: list[Any]) -> str:
        """Alternatives. A kind that may stand alone is said once, as the mapping that it begins."""
        kinds = {_kind(self._met(one)) for part in options for one in part.get("oneOf", ())}
        worth = [one for one in options if not (kinds and set(one.get("enum", ())) == kinds)]
        told = [self._value(path, one, inner) for one in worth if one.get("type") != "null"]
        return (" or " if len(told) < 4 else ", ").join(dict.fromkeys(told))

    def _mapping(self, path: str, each: Mapping[str, Any], inner: list[Any]) -> str:
        name, node = each["$ref"].rpartition("/")[2], self._met(each)
        kind = _kind(node)
        if name not in self.places:
            self.places[name] = _anchor(self._place(path, node))
            inner.append((path, f"{code(path)}: {code(kind)}" if kind else code(path), node))
        return f"[{code(kind) if kind else 'mapping'}](#{self.places[name]})"

    def _list(self, path: str, each: Mapping[str, Any], inner: list[Any]) -> str:
        if "prefixItems" in each:
            return f"[{', '.join(self._value(path, one, inner) for one in each['prefixItems'])}]"
        return f"list of {self._value(f'{path}[]', each.get('items', {}), inner)}{_length(each)}"

    def _named(self, path: str, each: Mapping[str, Any], inner: list[Any]) -> str:
        values = each.get("additionalProperties")
        if isinstance(values, Mapping):
            return f"mapping from names to {self._value(f'{path}.NAME', values, inner)}"
        for values in each.get("patternProperties", {}).values():
            return f"mapping from names to {self._value(f'{path}.NAME', values, inner)}"
        return "mapping"


def _kind(node: Mapping[str, Any]) -> str | None:
    """The kind that a mapping is of, if there are several for its field."""
    kind: str | None = node.get("properties", {}).get("kind", {}).get("const")
    return kind


def _anchor(path: str) -> str:
    return path.replace("[]", "")


def _bounds(each: Mapping[str, Any]) -> str:
    """`, 1 to 8`, or what else bounds a number or the length of a text."""
    low, high = each.get("minimum"), each.get("maximum")
    if low is not None and high is not None:
        return f", {_number(low)} to {_number(high)}"
    told = [("exclusiveMinimum", "above"), ("minimum", "from"), ("exclusiveMaximum", "below"), ("maximum", "to")]
    words = " ".join(f"{word} {_number(each[name])}" for name, word in told if name in each)
    return f", {words}" if words else f" of at most {each['maxLength']:,} characters" if "maxLength" in each else ""


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) or (value == int(value) and abs(value) >= 1) else f"{value:g}"


def _length(each: Mapping[str, Any]) -> str:
    low, high = each.get("minItems"), each.get("maxItems")
    return f", {low or 0:,} to {high:,} of them" if high is not None else ""
