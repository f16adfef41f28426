"""A network or a detector as asked for: a name, a YAML file, a run folder, or fields alone, with overrides on top."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reskeras.documents.document import NETWORK, RECIPE, Lines, read_yaml, section
from reskeras.documents.fields import Spec
from reskeras.documents.validation import place_of, validated
from reskeras.errors import ReskerasError, unknown
from reskeras.files import local_path
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.catalog import catalog
from reskeras.networks.detector import BACKBONE, DetectorSpec, backbone_of
from reskeras.networks.detector_plan import lower_detector
from reskeras.networks.inception import INCEPTION, InceptionSpec
from reskeras.networks.network import NetworkSpec
from reskeras.networks.overrides import laid_over, overridden
from reskeras.plans.plan import Plan

NETWORK_FILE = "network.yaml"
RESOLVED_FILE = "resolved.yaml"
NetworkOrDetector = AnyNetwork | DetectorSpec
Kind = type[AnyNetwork] | type[DetectorSpec]
# by the field that identifies the kind
KINDS: dict[str, Kind] = {INCEPTION: InceptionSpec, BACKBONE: DetectorSpec}
OF_DETECTORS = DetectorSpec.model_fields.keys() - {BACKBONE, "name"}  # fields that `detector` takes as the detector's


def network(
    source: str | Path | NetworkOrDetector | None = None, *, settings: tuple[str, ...] = (), **fields: Any
) -> AnyNetwork:
    """The sparse spec that `source` names, with `fields` and `path=value` `settings` laid over it.

    >>> network("resnet-152", order="full_preact").sparse()
    {'depth': 152, 'order': 'full_preact'}

    Raises ReskerasError (status 2) for unknown names, fields and values, and for contradictions.
    """
    fields = {name: value for name, value in fields.items() if value is not None}
    if source is None and INCEPTION in fields:
        source = validated(InceptionSpec, {INCEPTION: fields.pop(INCEPTION)})
    spec, where, lines = _source(source)
    if isinstance(spec, DetectorSpec):
        raise ReskerasError(f"network: {source} is a detector; see reskeras detect --help")
    if fields or settings:
        spec, lines = overridden(spec, fields, settings), {}  # errors may not come from the file any more
    with _with_place(where, lines):
        spec.lower().unit_shapes()  # raises for what cannot be resolved or does not fit together
    return spec


def detector(
    source: str | Path | NetworkOrDetector | None = None, *, settings: tuple[str, ...] = (), **fields: Any
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
    fields = {name: value for name, value in fields.items() if value is not None}
    if source is None and BACKBONE in fields:
        source = validated(DetectorSpec, {BACKBONE: fields.pop(BACKBONE)})
    named, where, lines = _source(source)
    if isinstance(named, DetectorSpec):
        spec = named
    else:
        classes: dict[str, Any] = {"classes": named.classes} if named.classes else {}
        spec, where, lines = DetectorSpec(backbone=backbone_of(named), **classes), "", {}
    own_fields = {name: fields.pop(name) for name in [*fields] if name in OF_DETECTORS}
    if "classes" in own_fields:  # errors still name their lines in a file
        spec = laid_over(spec, {"classes": own_fields.pop("classes")})
    first = {each: re.split(r"[.=]", each)[0] for each in settings}
    choices = {**DetectorSpec.model_fields, **NetworkSpec.model_fields}
    for each, name in first.items():
        if "=" in each and name not in choices:
            raise unknown("--set", name, sorted(choices))
    for name in fields:
        if name not in choices:
            raise unknown("field", name, sorted(choices))
    own = tuple(each for each, name in first.items() if name in DetectorSpec.model_fields)
    others = tuple(each for each in settings if each not in own)
    if fields or others:
        spec, lines = laid_over(spec, {BACKBONE: overridden(spec.backbone, fields, others).sparse()}), {}
    if own or own_fields:
        spec, lines = overridden(spec, own_fields, own), {}
    with _with_place(where, lines):
        canvas = lower_detector(spec).canvas
    shape = spec.backbone.decided().input_shape[:2]
    if spec.resize and "input_shape" in fields and shape != canvas:
        raise ReskerasError(
            f"input_shape: {'x'.join(map(str, shape))} contradicts resize, which the canvases follow; leave one out"
        )
    return spec


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


def _source(source: str | Path | NetworkOrDetector | None) -> tuple[NetworkOrDetector, str, Lines]:
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
        raise ReskerasError(f"network: {str(source)[:100]} cannot be read: {error.strerror}") from error
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


def _run(folder: Path) -> NetworkOrDetector:
    """The spec that a run was started with, with the classes and input shape of its data."""
    data, lines = read_yaml(folder / NETWORK_FILE)
    if not (folder / RESOLVED_FILE).is_file():
        return typed(data, lines, str(folder / NETWORK_FILE))
    resolved, _ = read_yaml(folder / RESOLVED_FILE)
    data |= {field: resolved[field] for field in ("classes", "input_shape") if field in resolved}
    return as_made(typed(data, lines, str(folder / NETWORK_FILE)), resolved)


def as_made(spec: NetworkOrDetector, resolved: dict[str, Any]) -> NetworkOrDetector:
    """The `spec` of a run, with what it meant when it was made by the fields that its `resolved` data lacks."""
    lacking = {path: value for path, value in spec.earlier.items() if not _has(resolved, path.split("."))}
    return laid_over(spec, lacking) if lacking else spec


def _has(data: Any, path: list[str]) -> bool:
    return isinstance(data, dict) and path[0] in data and (len(path) == 1 or _has(data[path[0]], path[1:]))


def kind_of(data: dict[str, Any]) -> Kind:
    """The kind of spec in a document, by the field that identifies it."""
    return next((kind for field, kind in KINDS.items() if field in data), NetworkSpec)


def spec_of(source: str | Path) -> NetworkOrDetector:
    """The sparse network or detector that `source` names; ReskerasError (status 2) as `network` and `detector`."""
    return detector(source) if isinstance(_source(source)[0], DetectorSpec) else network(source)


def typed(data: dict[str, Any], lines: Lines, where: str) -> NetworkOrDetector:
    """A document as a spec. One with the field `inception` is an InceptionSpec, one with `backbone` a DetectorSpec.
    With a catalogued name and neither depth nor stages, it is that row of the catalogue, overridden by the document's
    other fields."""
    if (kind := kind_of(data)) is not NetworkSpec:
        return validated(kind, data, where, lines)
    named = catalog().get(str(data.get("name")))
    if named is None or data.keys() & {"depth", "stages"}:
        return validated(NetworkSpec, data, where, lines)
    rest = {field: value for field, value in data.items() if field != "name"}
    return validated(type(named.spec), {**named.spec.sparse(), **rest}, where, lines)
