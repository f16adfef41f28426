"""Changes laid over a sparse spec: whole fields, and `path=value` settings such as `stages.1.width=48`."""

from __future__ import annotations

from typing import Any

from reskeras.errors import ReskerasError, shown
from reskeras.spec.document import parse_yaml
from reskeras.spec.fields import Spec
from reskeras.spec.network import NetworkSpec
from reskeras.spec.resolve import resolve
from reskeras.spec.validation import validated

# setting one of a pair drops what the other said
REPLACES = {"depth": "stages", "stages": "depth"}


def overridden(base: Spec, fields: dict[str, Any], settings: tuple[str, ...]) -> Spec:
    """`base` with `fields` and then `settings` laid over it, validated; ReskerasError for what does not fit."""
    data = base.sparse()
    changes = {**fields, **{name.partition("=")[0]: None for name in settings}}
    if isinstance(base, NetworkSpec) and changes.keys() - {"classes", "input_shape", "name"}:
        data.pop("name", None)  # it is another network now
    for name in changes:  # of what the base says, so that depth and stages given together still contradict
        data.pop(REPLACES.get(name, ""), None)
    for field, value in fields.items():
        data[field] = value.sparse() if isinstance(value, Spec) else value
    for setting in settings:
        _set_path(data, setting)
    return validated(type(base), data, "--set" if settings and not fields else "")


def _set_path(data: dict[str, Any], setting: str) -> None:
    """Lay one `path=value` such as `bn.momentum=0.99` or `stages.1.width=48` over sparse data."""
    path, equals, text = setting.partition("=")
    if not equals or not path:
        raise ReskerasError(f"--set: {shown(setting)} is not of the form path=value, such as bn.momentum=0.99")
    try:
        ((_, value),) = parse_yaml(f"value:\n  {text}", "--set")[0].items()
    except (ReskerasError, ValueError) as error:
        raise ReskerasError(f"--set: {shown(text)} (for {path}) is not a YAML value") from error
    keys: list[str | int] = [int(key) if key.isdecimal() else key for key in path.split(".")]
    if len(keys) > 1 and keys[0] not in data:
        _materialise(data, str(keys[0]))
    if len(keys) > 1 and keys[0] in REPLACES:
        data.pop(REPLACES[keys[0]], None)  # a part of stages changes what depth they make
    here: Any = data
    for index, key in enumerate(keys[:-1]):
        if isinstance(here, list) and (not isinstance(key, int) or key >= len(here)):
            parent = ".".join(map(str, keys[:index]))
            raise ReskerasError(f"--set: {parent} has entries 0 to {len(here) - 1}, not {key!r}")
        if not isinstance(here, dict | list):
            raise ReskerasError(f"--set: {path} leads nowhere in this network")
        inner = here[key] if isinstance(here, list) else here.get(key)
        if isinstance(inner, int | str) and keys[0] in ("stages", "skip"):  # shorthand for units or kind
            inner = {"units" if isinstance(inner, int) else "kind": inner}
        here[key] = inner = {} if inner is None else inner
        here = inner
    last = keys[-1]
    if not isinstance(here, dict) and not (isinstance(here, list) and isinstance(last, int) and last < len(here)):
        raise ReskerasError(f"--set: {path} leads nowhere in this network")
    here[last] = value


def _materialise(data: dict[str, Any], field: str) -> None:
    """Write out a field that the sparse form leaves to a default, so that a part of it can be set."""
    if field not in ("stages", "stem"):
        data[field] = {}
        return
    resolved = resolve(validated(NetworkSpec, data))
    if field == "stages":
        data["block"], data["family"] = resolved.stages[0].block, resolved.family
        data["stages"] = [{"units": row.units} for row in resolved.stages]
    else:
        data["stem"] = resolved.stem.model_dump(mode="json")
