"""Fields of recipes, networks and detectors that earlier versions do not know: with the values that stand for their
absence a training is the same as without them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from reskeras.documents.fields import Spec

SINCE_SUITES = (  # what the runs of suites are found by does not have these
    "optimizer",
    "loss",
    "teacher",
    "distillation",
    "lookahead",
    "whiten",
    "test_crop",
    "sizes",
    "bn_statistics",
    "images",
    "augment.repeats",
    "augment.rotate",
    "augment.mosaic",
    "augment.hue",
    "augment.rand_augment.deviation",
    "augment.rand_augment.probability",
    "augment.rand_augment.increasing",
)
RESIZES = ("resize", "resize.multiple", "resize.rounding", "resize.antialias")
OF_DETECTIONS = ("detections.suppression", "detections.sigma", "detections.class_agnostic")
OF_NETWORKS = (
    "activation",
    *(f"{on}quantise" for on in ("", "backbone.", "trunk.", "judge.")),
    "head.scale",
    "stem.convs.bn",
    *RESIZES,
    *OF_DETECTIONS,
)  # nor these, of networks and detectors
OF_DETECTORS = (  # the fingerprints of their checkpoints do not have these
    "neck",
    "proposals.convs",
    "proposals.before_testing",
    "regions.convs",
    "regions.dense",
    "regions.width",
    *RESIZES,
)
DEFAULT = object()
LATER = ("xla", *SINCE_SUITES)  # the fingerprints of checkpoints do not have these


def identifying(spec: Spec, without: Collection[str], later: Sequence[str] = LATER) -> dict[str, Any]:
    """What a spec is known by, as plain data: its fields but for those `without`, and those of `later` that have their
    defaults, or what runs mean that were made `earlier`."""
    data = spec.model_dump(mode="json", exclude={*without})
    for path in (*later, *spec.earlier):
        _drop(spec, data, path.split("."), spec.earlier.get(path, DEFAULT))
    return data


def _drop(spec: Any, data: Any, path: Sequence[str], meant: Any) -> None:
    """Take the field at `path` out of `data`, which `spec` was dumped to, of each entry of a list, where its value is
    `meant`; for DEFAULT where it is the field's default."""
    if isinstance(spec, tuple):
        for each, part in zip(spec, data, strict=True):
            _drop(each, part, path, meant)
    elif isinstance(spec, Spec) and (field := type(spec).model_fields.get(path[0])):
        value = getattr(spec, path[0])
        if len(path) > 1:
            _drop(value, data.get(path[0]), path[1:], meant)
        elif value == (field.default if meant is DEFAULT else meant):
            data.pop(path[0], None)
