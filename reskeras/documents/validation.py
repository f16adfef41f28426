"""Validates data as specs; pydantic's errors become messages with field, value, choices and place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from reskeras.documents.document import Lines, kind_of
from reskeras.errors import ReskerasError, shown, unknown
from reskeras.printable import counted

Model = TypeVar("Model", bound=BaseModel)

# pydantic's types of error, in words for users
EXPECTED = {
    "tuple_type": "should be a list",
    "list_type": "should be a list",
    "model_type": "should be a mapping with fields {fields}",
    "model_attributes_type": "should be a mapping with fields {fields}",
    "dict_type": "should be a mapping with fields {fields}",
    "too_short": "needs at least {entries}",
    "too_long": "can have at most {entries}",
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "int_type": "should be an integer",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "string_type": "should be text",
    "string_pattern_mismatch": "should be letters, digits, dots, dashes and underscores, in the form {pattern}",
    "invalid_key": "is not the name of a field",
}
KEY = "[key]"  # the last part of a place where a name in a mapping is wrong, not what it is given
BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")


def validated(model: type[Model], data: Any, where: str = "", lines: Lines | None = None) -> Model:
    """`data` as a `model`; the first thing wrong becomes a ReskerasError (status 2)."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        schema = model.model_json_schema()
        raise _explain(schema, _first(schema, error.errors(), data), where, lines or {}) from error


def _first(schema: dict, errors: list[ErrorDetails], data: Any) -> ErrorDetails:
    """The first error, without pydantic's labels of a union's branches in its place. Where no branch of a union fits,
    each has an error: that of the branch that data of this type is for."""
    found = [cast(ErrorDetails, {**each, "loc": _without_branches(schema, each["loc"], data)}) for each in errors]
    start = found[0]["loc"]
    branches = [each for each in found if each["loc"][: len(start)] == start]
    return max(branches, key=lambda each: (len(each["loc"]), isinstance(each["input"], str) and _is_choice(each)))


def _is_choice(error: ErrorDetails) -> bool:
    return error["type"] in ("literal_error", "enum")


def _without_branches(schema: dict, loc: tuple, data: Any) -> tuple:
    """A place without the parts that are neither fields nor kinds nor keys of `data`, but what pydantic calls a branch
    of a union, such as `dict[str,float]`."""
    kept: tuple = ()
    for part in loc:
        here = _at(schema, kept)
        named = {*(data if isinstance(data, Mapping) else ()), *_properties(schema, here), *_kinds(schema, here)}
        if "anyOf" in here and isinstance(part, str) and part not in named:
            continue
        kept += (part,)
        try:
            data = data[part]
        except (LookupError, TypeError):  # a field that is lacking, or in what a validator makes of text
            data = None
    return kept


def _explain(schema: dict, error: ErrorDetails, where: str, lines: Lines) -> ReskerasError:
    loc = error["loc"]
    if loc[-1:] == (KEY,):
        return _explain_key(loc[:-1], error, where, lines)
    value, kind, context = error["input"], error["type"], error.get("ctx", {})
    message, within = _message(error), _properties(schema, _at(schema, loc))
    first = _field_of(message, within) if kind == "value_error" else ()
    path = (*_typed_path(schema, loc), *first)
    place, field = _place(path, where, lines), ".".join(map(str, path))
    if kind == "extra_forbidden":
        subject = f"field of {loc[-2]}" if loc[:-1] and loc[-2] in _kinds(schema, _at(schema, loc[:-2])) else "field"
        return unknown(subject, field, sorted(_properties(schema, _at(schema, loc[:-1]))), place)
    if kind in ("literal_error", "enum"):
        return unknown(field, value, context["expected"].replace("'", "").replace(" or ", ", ").split(", "), place)
    if kind == "union_tag_invalid":
        return unknown(field, context["tag"], context["expected_tags"].replace("'", "").split(", "), place)
    inside = f" (in {place})" if place else ""
    if kind in ("missing", "union_tag_not_found"):
        lacking = f"{field}.kind" if kind == "union_tag_not_found" else field
        return ReskerasError(f"{lacking}: required, but not set{inside}")
    if first:
        return ReskerasError(f"{field}: {message.partition(': ')[2]}{inside}")
    if kind in EXPECTED:
        count = context.get("min_length", context.get("max_length", 0))
        entries = counted(count, "entry", "entries")
        message = EXPECTED[kind].format(fields=", ".join(sorted(within)), entries=entries, **context)
    elif kind in BOUNDS:
        message = _range(schema, _at(schema, loc)) or message
    whole = not isinstance(value, (dict, list, BaseModel)) or len(shown(value)) < 60
    subject = f"{field}: {shown(value) if whole else kind_of(value)}: " if field else ""
    return ReskerasError(f"{subject}{message}{inside}")


def _message(error: ErrorDetails) -> str:
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return message[0].lower() + message[1:]


def _field_of(message: str, fields: Collection[str]) -> tuple[str, ...]:
    """The path that a message about several of `fields` begins with, such as `ema: lookahead averages too`."""
    path = tuple(message.partition(": ")[0].split("."))
    return path if path[0] in fields and ": " in message else ()


def _explain_key(path: tuple, error: ErrorDetails, where: str, lines: Lines) -> ReskerasError:
    message = EXPECTED.get(error["type"], "is not a valid name")
    hint = "; put it in quotes" if error["type"] == "string_type" else ""
    place = _place((*path[:-1], str(path[-1])), where, lines)  # lines have names as they are written
    inside = f" (in {place})" if place else ""
    return ReskerasError(f"{'.'.join(map(str, path[:-1]))}: the name {shown(error['input'])} {message}{hint}{inside}")


def _typed_path(schema: dict, loc: tuple) -> tuple:
    """The path of an error as users type it: pydantic puts the kind of a spec into it, ('skip', 'dropout', 'rate')."""
    return tuple(part for index, part in enumerate(loc) if part not in _kinds(schema, _at(schema, loc[:index])))


def _range(schema: dict, here: dict) -> str | None:
    """The bounds of a number in words, both of them."""
    for option in _options(schema, here):
        low, high = option.get("minimum"), option.get("maximum")
        above, below = option.get("exclusiveMinimum"), option.get("exclusiveMaximum")
        if {low, above} != {None} and {high, below} != {None}:
            start = f"at least {low:,}" if above is None else f"more than {above:,}"
            return f"should be {start} and " + (f"at most {high:,}" if below is None else f"less than {below:,}")
    return None


def _at(schema: dict, loc: tuple) -> dict:
    """The part of the schema that describes the value at pydantic's path `loc`."""
    here = schema
    for part in loc:
        if kind := _kinds(schema, here).get(part):
            here = {"$ref": kind}
            continue
        here = next((found for option in _options(schema, here) if (found := _inside(option, part)) is not None), {})
    return here


def _inside(option: dict, part: Any) -> dict | None:
    if isinstance(part, int):
        entries = option.get("prefixItems", [])
        return entries[part] if part < len(entries) else option.get("items")
    others = option.get("additionalProperties") or next(iter(option.get("patternProperties", {}).values()), None)
    return option.get("properties", {}).get(part, others)


def _properties(schema: dict, here: dict) -> set[str]:
    return {name for option in _options(schema, here) for name in option.get("properties", {})}


def _kinds(schema: dict, here: dict) -> dict[Any, str]:
    """The kinds of specs that may stand there, each with its reference."""
    return {
        kind: reference
        for each in (here, *here.get("anyOf", []), *here.get("oneOf", []))
        for kind, reference in each.get("discriminator", {}).get("mapping", {}).items()
    }


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
