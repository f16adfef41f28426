"""Changes laid over a sparse spec: whole fields, and `path=value` settings such as `stages.1.width=48`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from reskeras.documents.document import parse_yaml
from reskeras.documents.fields import Spec
from reskeras.documents.validation import validated
from reskeras.errors import ReskerasError, shown
from reskeras.networks.network import NetworkSpec

Kind = TypeVar("Kind", bound=Spec)

# setting one drops the other
REPLACES = {"depth": "stages", "stages": "depth"}
# fields whose values may stand alone for one of their own fields
SHORTHANDS = ("stages", "skip", "optimizer", "loss", "neck")


def overridden(base: Kind, fields: dict[str, Any], settings: tuple[str, ...]) -> Kind:
    """`base` with `fields` and then `settings` laid over it, validated; ReskerasError for what does not fit."""
    whole = {field: value.sparse() if isinstance(value, Spec) else value for field, value in fields.items()}
    return laid_over(base, {**whole, **dict(map(_parsed, settings))}, "--set" if settings and not fields else "")


def laid_over(base: Kind, changes: Mapping[str, Any], where: str = "") -> Kind:
    """`base` with the value of each dotted path of `changes` in place, validated; ReskerasError for what does not fit.

    `where` names the source of the changes in messages.
    """
    data = base.under(changes)
    if isinstance(base, NetworkSpec) and changes.keys() - {"classes", "input_shape", "name"}:
        data.pop("name", None)  # it is no longer the named network
    for name in changes:  # from the base only: depth and stages given together must still contradict
        data.pop(REPLACES.get(name, ""), None)
    for path, value in changes.items():
        _set_path(base, data, path, value, where)
    return validated(type(base), data, where)


def _parsed(setting: str) -> tuple[str, Any]:
    """One `path=value` such as `bn.momentum=0.99` or `stages.1.width=48` as path and value."""
    path, equals, text = setting.partition("=")
    if not equals or not path or not text.strip():
        raise ReskerasError(f"--set: {shown(setting)} is not of the form path=value, such as bn.momentum=0.99")
    try:
        ((_, value),) = parse_yaml(f"value:\n  {text}", "--set")[0].items()
    except (ReskerasError, ValueError) as error:
        raise ReskerasError(f"--set: {shown(text)} (for {path}) is not a YAML value") from error
    return path, value


def _set_path(base: Spec, data: dict[str, Any], path: str, value: Any, where: str) -> None:
    """Set one value in sparse data of `base`'s kind."""
    keys: list[str | int] = [int(key) if key.isdecimal() else key for key in path.split(".")]
    if len(keys) > 1 and keys[0] not in data:
        _materialise(type(base), data, str(keys[0]))
    if len(keys) > 1 and keys[0] in REPLACES:
        data.pop(REPLACES[keys[0]], None)  # a changed stage changes the depth
    lead = f"{where}: " if where else ""
    here: Any = data
    for index, key in enumerate(keys[:-1]):
        if isinstance(here, list) and not _can_set(here, key):
            parent = ".".join(map(str, keys[:index]))
            raise ReskerasError(f"{lead}{parent} has no entry {key!r}, only 0 to {len(here) - 1}")
        if not _can_set(here, key):
            raise ReskerasError(f"{lead}{path} does not exist in this {_kind(base)}")
        inner = here.get(key) if isinstance(here, dict) else here[key]
        if isinstance(inner, int | str) and keys[0] in SHORTHANDS:  # for units or kind
            inner = {"units" if isinstance(inner, int) else "kind": inner}
        here[key] = inner = {} if inner is None else inner
        here = inner
    last = keys[-1]
    if not _can_set(here, last):
        raise ReskerasError(f"{lead}{path} does not exist in this {_kind(base)}")
    here[last] = value


def _can_set(here: Any, key: str | int) -> bool:
    """Whether `here` is a mapping, or a list that has an entry `key`."""
    return isinstance(here, dict) or (isinstance(here, list) and isinstance(key, int) and key < len(here))


def _kind(base: Spec) -> str:
    return "network" if isinstance(base, NetworkSpec) else type(base).__name__.removesuffix("Spec").lower()


def _materialise(kind: type[Spec], data: dict[str, Any], field: str) -> None:
    """Write out a field that the sparse form leaves to a default, so that a part of it can be set."""
    if kind is not NetworkSpec:
        known = validated(kind, data)
        decided, default = known.model_dump(mode="json").get(field), getattr(known, field, None)
        data[field] = decided if isinstance(decided, list) else default.sparse() if isinstance(default, Spec) else {}
        return
    if field not in ("stages", "stem"):
        data[field] = {}
        return
    resolved = validated(NetworkSpec, data).decided()
    if field == "stages":
        data["block"], data["family"] = resolved.stages[0].block, resolved.family
        data["stages"] = [{"units": row.units} for row in resolved.stages]
    else:
        data["stem"] = resolved.stem.model_dump(mode="json")
