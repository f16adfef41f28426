"""A network as asked for: a catalogue name, a YAML file, a run folder, or fields alone, with overrides on top."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reskeras.errors import ReskerasError, shown, unknown
from reskeras.spec.catalog import catalog
from reskeras.spec.document import Lines, parse_yaml, place_of, read_yaml, validated
from reskeras.spec.fields import Spec
from reskeras.spec.lower import lower
from reskeras.spec.network import NetworkSpec
from reskeras.spec.plan import Plan
from reskeras.spec.resolve import resolve

NETWORK_FILE = "network.yaml"
RESOLVED_FILE = "resolved.yaml"
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
    if fields or settings:
        spec, lines = _overridden(spec, fields, settings), {}  # what is wrong may not stand in the file
    try:
        lower(spec).unit_shapes()  # what cannot be resolved, or does not fit together, is told now
    except ReskerasError as error:
        place = f" (in {place_of(str(error).partition(':')[0], where, lines)})" if where else ""
        raise ReskerasError(f"{error}{place}", error.status) from error
    return spec


def plan(source: str | Path | Spec | None = None, **fields: Any) -> Plan:
    """The plan of a network: a spec, or whatever else `network` understands. No TensorFlow is imported."""
    return lower(network(source, **fields))


def _source(source: str | Path | Spec | None) -> tuple[Spec, str, Lines]:
    """The spec that `source` names, the file it came from, and the lines of its fields."""
    if source is None:
        return NetworkSpec(), "", {}
    if isinstance(source, Spec):
        return source, "", {}
    if str(source) in catalog():
        return catalog()[str(source)].spec, "", {}
    path = Path(source)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:  # a name too long, a folder that may not be entered
        raise ReskerasError(f"network: {str(source)[:100]} cannot be read: {error.strerror}") from error
    if is_folder:
        if not (path / NETWORK_FILE).is_file():
            raise ReskerasError(f"network: {path} is a folder without a {NETWORK_FILE}, so it is no run")
        return _run(path), str(path), {}
    if is_file:
        data, lines = read_yaml(path)
        return _typed(data, lines, str(path)), str(path), lines
    if path.suffix in (".yaml", ".yml", ".json"):
        raise ReskerasError(f"network: there is no file {path}")
    raise unknown("network", source, catalog())


def _run(folder: Path) -> Spec:
    """What was typed for a run, with the classes and input shape that its data gave."""
    data, lines = read_yaml(folder / NETWORK_FILE)
    if (folder / RESOLVED_FILE).is_file():
        resolved, _ = read_yaml(folder / RESOLVED_FILE)
        data |= {field: resolved[field] for field in ("classes", "input_shape") if field in resolved}
    return _typed(data, lines, str(folder / NETWORK_FILE))


def _typed(data: dict[str, Any], lines: Lines, where: str) -> Spec:
    """A document as a spec: a NetworkSpec, unless its name is that of a catalogued network of another kind."""
    named = catalog().get(str(data.get("name")))
    if named and data.keys() == {"name"}:
        return named.spec
    return validated(type(named.spec) if named else NetworkSpec, data, where, lines)


def _overridden(base: Spec, fields: dict[str, Any], settings: tuple[str, ...]) -> Spec:
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
        data.pop("depth", None)
    else:
        data["stem"] = resolved.stem.model_dump(mode="json")
