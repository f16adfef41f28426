"""A network or a detector as asked for: a name, a YAML file, a run folder, or fields alone, with overrides on top."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reskeras.documents.document import NETWORK, RECIPE, Lines, read_yaml, section
from reskeras.documents.fields import Spec
from reskeras.documents.validation import place_of, validated
from reskeras.errors import ReskerasError, unknown
from reskeras.files import local_path, reason
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.any_spec import AnySpec
from reskeras.networks.built_on import staged
from reskeras.networks.catalog import catalog
from reskeras.networks.detector import BACKBONE, DetectorSpec
from reskeras.networks.detector_plan import lower_detector
from reskeras.networks.inception import INCEPTION, InceptionSpec
from reskeras.networks.localiser import TRUNK, LocaliserSpec
from reskeras.networks.localiser_plan import lower_localiser
from reskeras.networks.network import NetworkSpec
from reskeras.networks.overrides import laid_over, overridden
from reskeras.networks.refiner import JUDGE, RefinerSpec
from reskeras.networks.refiner_plan import lower_refiner
from reskeras.plans.plan import Plan

NETWORK_FILE = "network.yaml"
RESOLVED_FILE = "resolved.yaml"
# specs that are built on a network, by the field that has it, with what lowers them
BUILT: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    BACKBONE: (DetectorSpec, lower_detector),
    TRUNK: (LocaliserSpec, lower_localiser),
    JUDGE: (RefinerSpec, lower_refiner),
}
# by the field that identifies the kind
KINDS: dict[str, Any] = {INCEPTION: InceptionSpec, **{field: kind for field, (kind, _) in BUILT.items()}}


def network(source: str | Path | AnySpec | None = None, *, settings: tuple[str, ...] = (), **fields: Any) -> AnyNetwork:
    """The sparse spec that `source` names, with `fields` and `path=value` `settings` laid over it.

    >>> network("resnet-152", order="full_preact").sparse()
    {'depth': 152, 'order': 'full_preact'}

    Raises ReskerasError (status 2) for unknown names, fields and values, and for contradictions.
    """
    fields = {name: value for name, value in fields.items() if value is not None}
    if source is None and INCEPTION in fields:
        source = validated(InceptionSpec, {INCEPTION: fields.pop(INCEPTION)})
    spec, where, lines = _source(source)
    if not isinstance(spec, AnyNetwork):
        raise ReskerasError(f"network: {source} is a {spec.noun}; see reskeras {spec.command} --help")
    if fields or settings:
        spec, lines = overridden(spec, fields, settings), {}  # errors may not come from the file any more
    with _with_place(where, lines):
        spec.lower().unit_shapes()  # raises for what cannot be resolved or does not fit together
    return spec


def detector(
    source: str | Path | AnySpec | None = None, *, settings: tuple[str, ...] = (), **fields: Any
) -> DetectorSpec:
    """The sparse detector that `source` names: a YAML file with the field `backbone`, a detector's run folder, or
    whatever `network` understands, which is then the backbone. `fields`, and `settings` by the first name of their
    path, are the detector's where it has such a field, others the backbone's.

    >>> detector("resnet-18", classes=3, settings=("anchors.sizes=[16, 32]",)).sparse()
    {'backbone': {'depth': 18}, 'anchors': {'sizes': [16.0, 32.0]}, 'classes': 3}
    >>> detector("resnet-18", neck="fpn", input_shape=(240, 320, 3)).sparse()
    {'backbone': {'depth': 18, 'input_shape': [240, 320, 3]}, 'neck': {'kind': 'fpn'}}

    Raises ReskerasError (status 2) for unknown names, fields and values, and for contradictions.
    """
    spec, plan = _built_on(BACKBONE, source, settings, fields)
    shape = spec.backbone.decided().input_shape[:2]
    if spec.resize and fields.get("input_shape") is not None and shape != plan.canvas:
        raise ReskerasError(
            f"input_shape: {'x'.join(map(str, shape))} contradicts resize, which the canvases follow; leave one out"
        )
    return spec


def localiser(
    source: str | Path | AnySpec | None = None, *, settings: tuple[str, ...] = (), **fields: Any
) -> LocaliserSpec:
    """As `detector`, the sparse localiser that `source` names: a YAML file with the field `trunk`, a localiser's run
    folder, or a network, which is then the trunk.

    >>> localiser("resnet-18", settings=("sample=16",)).sparse()
    {'trunk': {'depth': 18}, 'sample': 16}
    """
    spec, _ = _built_on(TRUNK, source, settings, fields)
    return spec


def refiner(
    source: str | Path | AnySpec | None = None, *, settings: tuple[str, ...] = (), **fields: Any
) -> RefinerSpec:
    """As `detector`, the sparse refiner that `source` names: a YAML file with the field `judge`, a refiner's run
    folder, or a network, which is then the judge."""
    spec, _ = _built_on(JUDGE, source, settings, fields)
    return spec


def _built_on(
    field: str, source: str | Path | AnySpec | None, settings: tuple[str, ...], fields: dict[str, Any]
) -> tuple[Any, Any]:
    """The spec that is built on a network in its `field`, as `detector` says, and its plan."""
    kind, lower = BUILT[field]
    fields = {name: value for name, value in fields.items() if value is not None}
    if source is None and field in fields:
        source = validated(kind, {field: fields.pop(field)})
    named, where, lines = _source(source)
    if isinstance(named, kind):
        spec: Any = named
    elif isinstance(named, AnyNetwork):
        classes: dict[str, Any] = {"classes": named.classes} if named.classes else {}
        spec, where, lines = kind(**{field: staged(named, field)}, **classes), "", {}
    else:
        raise ReskerasError(f"network: {source} is a {named.noun}; name a network for the {field} instead")
    own_names = kind.model_fields.keys() - {field, "name"}
    own_fields = {name: fields.pop(name) for name in [*fields] if name in own_names}
    if "classes" in own_fields:  # errors still name their lines in a file
        spec = laid_over(spec, {"classes": own_fields.pop("classes")})
    first = {each: re.split(r"[.=]", each)[0] for each in settings}
    choices = {**kind.model_fields, **NetworkSpec.model_fields}
    for each, name in first.items():
        if "=" in each and name not in choices:
            raise unknown("--set", name, sorted(choices))
    for name in fields:
        if name not in choices:
            raise unknown("field", name, sorted(choices))
    own = tuple(each for each, name in first.items() if name in kind.model_fields)
    others = tuple(each for each in settings if each not in own)
    if fields or others:
        network = getattr(spec, field)
        spec, lines = laid_over(spec, {field: overridden(network, fields, others).sparse()}), {}
    if own or own_fields:
        spec, lines = overridden(spec, own_fields, own), {}
    with _with_place(where, lines):
        return spec, lower(spec)


@contextmanager
def _with_place(where: str, lines: Lines) -> Iterator[None]:
    """Add to ReskerasErrors of the block the place in the file that they are about."""
    try:
        yield
    except ReskerasError as error:
        place = f" (in {place_of(str(error).partition(':')[0], where, lines)})" if where else ""
        raise ReskerasError(f"{error}{place}", error.status) from error


def plan(source: str | Path | AnyNetwork | None = None, **fields: Any) -> Plan:
    """The plan of a network: a spec, or whatever else `network` understands. No TensorFlow is imported."""
    return network(source, **fields).lower()


def _source(source: str | Path | AnySpec | None) -> tuple[AnySpec, str, Lines]:
    """The spec that `source` names, the file it came from, and the lines of its fields."""
    if source is None:
        return NetworkSpec(), "", {}
    if isinstance(source, Spec):
        return source, "", {}
    if str(source) in catalog():
        return catalog()[str(source)].spec, "", {}
    path = local_path(source, "network")
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:  # a name too long, a folder that may not be entered
        raise ReskerasError(f"network: {str(source)[:100]} cannot be read: {reason(error)}") from error
    if is_folder:
        if not (path / NETWORK_FILE).is_file():
            raise ReskerasError(f"network: {path} is not a run folder: it has no {NETWORK_FILE}")
        return _run(path), str(path), {}
    if is_file:
        data, lines = section(NETWORK, *read_yaml(path))
        return typed(data, lines, str(path)), str(path), lines
    if path.suffix in (".yaml", ".yml", ".json"):
        raise ReskerasError(f"network: file not found: {path}")
    raise unknown("network", source, catalog())


def recipe_of(source: str | Path | Spec | None, otherwise: str = "quick") -> str | Path:
    """The recipe to train `source` by when none is named: that of a file with both parts, else `otherwise`."""
    if not isinstance(source, str | Path) or not local_path(source, NETWORK).is_file():
        return otherwise
    return source if {*read_yaml(Path(source))[0]} == {NETWORK, RECIPE} else otherwise


def _run(folder: Path) -> AnySpec:
    """The spec that a run was started with, with the classes and input shape of its data."""
    data, lines = read_yaml(folder / NETWORK_FILE)
    if not (folder / RESOLVED_FILE).is_file():
        return typed(data, lines, str(folder / NETWORK_FILE))
    resolved, _ = read_yaml(folder / RESOLVED_FILE)
    data |= {field: resolved[field] for field in ("classes", "input_shape") if field in resolved}
    return as_made(typed(data, lines, str(folder / NETWORK_FILE)), resolved)


def as_made(spec: AnySpec, resolved: dict[str, Any]) -> AnySpec:
    """The `spec` of a run, with what it meant when it was made by the fields that its `resolved` data lacks."""
    lacking = {path: value for path, value in spec.earlier.items() if not _has(resolved, path.split("."))}
    return laid_over(spec, lacking) if lacking else spec


def _has(data: Any, path: list[str]) -> bool:
    return isinstance(data, dict) and path[0] in data and (len(path) == 1 or _has(data[path[0]], path[1:]))


def kind_of(data: dict[str, Any]) -> Any:
    """The kind of spec in a document, by the field that identifies it."""
    return next((kind for field, kind in KINDS.items() if field in data), NetworkSpec)


def spec_of(source: str | Path | AnySpec) -> AnySpec:
    """The sparse spec that `source` names or is; ReskerasError (status 2) as `network` and `detector`."""
    spec, _, _ = _source(source)
    if isinstance(spec, AnyNetwork):
        return network(source)
    field = next(field for field, (kind, _) in BUILT.items() if isinstance(spec, kind))
    return _built_on(field, source, (), {})[0]


def typed(data: dict[str, Any], lines: Lines, where: str) -> AnySpec:
    """A document as a spec. One with the field `inception` is an InceptionSpec, one with `backbone` a DetectorSpec, one
    with `trunk` a LocaliserSpec. With a catalogued name and neither depth nor stages, it is that row of the catalogue,
    overridden by the document's other fields."""
    if (kind := kind_of(data)) is not NetworkSpec:
        return validated(kind, data, where, lines)
    named = catalog().get(str(data.get("name")))
    if named is None or data.keys() & {"depth", "stages"}:
        return validated(NetworkSpec, data, where, lines)
    rest = {field: value for field, value in data.items() if field != "name"}
    return validated(type(named.spec), {**named.spec.sparse(), **rest}, where, lines)
