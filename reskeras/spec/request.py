"""A network as asked for: a catalogue name, a YAML file, a run folder, or fields alone, with overrides on top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reskeras.errors import ReskerasError, unknown
from reskeras.spec.catalog import catalog
from reskeras.spec.document import Lines, read_yaml, validated
from reskeras.spec.fields import Spec
from reskeras.spec.lower import lower
from reskeras.spec.network import NetworkSpec
from reskeras.spec.plan import Plan
from reskeras.spec.resolve import resolve

NETWORK_FILE = "network.yaml"
# setting one of a pair drops what the other said
REPLACES = {"depth": "stages", "stages": "depth"}


def network(source: str | Path | Spec | None = None, *, settings: tuple[str, ...] = (), **fields: Any) -> Spec:
    """The sparse spec that `source` names, with `fields` and `path=value` `settings` laid over it.

    >>> network("resnet-152", order="full_preact").sparse()
    {'depth': 152, 'order': 'full_preact'}

    Raises ReskerasError (status 2) for unknown names, fields and values, and for contradictions.
    """
    spec, where, lines = _source(source)
    fields = {name: value for name, value in fields.items() if value is not None}
    if not fields and not settings:
        checked = spec if isinstance(spec, Spec) else validated(NetworkSpec, spec, where, lines)
    elif isinstance(spec, Spec) and not isinstance(spec, NetworkSpec):
        checked = validated(type(spec), {**spec.sparse(), **fields}, where)
    else:
        # check the file by itself first, so that its errors are told with their lines
        base = spec if isinstance(spec, NetworkSpec) else validated(NetworkSpec, spec, where, lines)
        checked = _overridden(base, fields, settings)
    if isinstance(checked, NetworkSpec):
        try:
            resolve(checked)
        except ReskerasError as error:
            raise ReskerasError(f"{error} (in {where})" if where else str(error), error.status) from error
    return checked


def plan(source: str | Path | Spec | None = None, **fields: Any) -> Plan:
    """The plan of a network: a spec, or whatever else `network` understands. No TensorFlow is imported."""
    return lower(network(source, **fields))


def _source(source: str | Path | Spec | None) -> tuple[Spec | dict[str, Any], str, Lines]:
    if source is None:
        return {}, "", {}
    if isinstance(source, Spec):
        return source, "", {}
    if str(source) in catalog():
        return catalog()[str(source)].spec, "", {}
    path = Path(source)
    if path.is_dir():
        if not (path / NETWORK_FILE).is_file():
            raise ReskerasError(f"network: {path} is a folder without a {NETWORK_FILE}, so it is no run")
        path = path / NETWORK_FILE
    if path.is_file():
        return (*_named(path),)
    if path.suffix in (".yaml", ".yml", ".json"):
        raise ReskerasError(f"network: there is no file {path}")
    raise unknown("network", source, catalog())


def _named(path: Path) -> tuple[Spec | dict[str, Any], str, Lines]:
    data, lines = read_yaml(path)
    row = catalog().get(data.get("name", "")) if set(data) == {"name"} else None
    return (row.spec if row else data), str(path), lines


def _overridden(base: NetworkSpec, fields: dict[str, Any], settings: tuple[str, ...]) -> NetworkSpec:
    data = base.sparse()
    changes = {**fields, **{name.partition("=")[0]: None for name in settings}}
    if changes.keys() - {"classes", "input_shape", "name"}:
        data.pop("name", None)  # it is another network now
    for field, value in fields.items():
        data.pop(REPLACES.get(field, ""), None)
        data[field] = value.sparse() if isinstance(value, Spec) else value
    for setting in settings:
        _set_path(data, setting)
    return validated(NetworkSpec, data, "--set" if settings and not fields else "")


def _set_path(data: dict[str, Any], setting: str) -> None:
    """Lay one `path=value` such as `bn.momentum=0.99` or `stages.1.width=48` over sparse data."""
    from yaml import YAMLError, safe_load

    path, equals, text = setting.partition("=")
    if not equals or not path:
        raise ReskerasError(f"--set: {setting!r} is not of the form path=value, such as bn.momentum=0.99")
    try:
        value = safe_load(text)
    except YAMLError as error:
        raise ReskerasError(f"--set: {text!r} (for {path}) is not a YAML value") from error
    keys: list[str | int] = [int(key) if key.isdigit() else key for key in path.split(".")]
    if len(keys) > 1 and keys[0] not in data:
        _materialise(data, str(keys[0]))
    here: Any = data
    for index, key in enumerate(keys[:-1]):
        if isinstance(here, list) and (not isinstance(key, int) or key >= len(here)):
            parent = ".".join(map(str, keys[:index]))
            raise ReskerasError(f"--set: {parent} has entries 0 to {len(here) - 1}, not {key!r}")
        inner = here[key] if isinstance(here, list) else here.get(key)
        if isinstance(inner, int | str) and keys[0] in ("stages", "skip"):  # shorthand for units or kind
            inner = {"units" if isinstance(inner, int) else "kind": inner}
        here[key] = inner = {} if inner is None else inner
        here = inner
    last = keys[-1]
    if not isinstance(here, dict) and not (isinstance(here, list) and isinstance(last, int) and last < len(here)):
        raise ReskerasError(f"--set: {path} leads nowhere in this network")
    if len(keys) == 1:
        data.pop(REPLACES.get(path, ""), None)
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
        data.pop("depth", None)
    else:
        data["stem"] = resolved.stem.model_dump(mode="json")
