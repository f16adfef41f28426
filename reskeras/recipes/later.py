"""Fields of a recipe that earlier versions do not know: at their defaults a training is the same as without them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reskeras.documents.fields import Spec

SINCE_SUITES = (  # what the runs of suites are found by does not have these
    "optimizer",
    "loss",
    "teacher",
    "distillation",
    "test_crop",
    "sizes",
    "augment.repeats",
    "augment.rand_augment.deviation",
    "augment.rand_augment.probability",
    "augment.rand_augment.increasing",
)
LATER = ("xla", *SINCE_SUITES)  # the fingerprints of checkpoints do not have these


def without_later(recipe: Spec, data: dict[str, Any], later: Sequence[str] = LATER) -> dict[str, Any]:
    """`data`, `recipe` as plain data, without those of `later` that have their defaults: what it was before they were.

    It is changed in place.
    """
    for path in later:
        *groups, name = path.split(".")
        spec: Any = recipe
        part: Any = data
        for group in groups:
            spec, part = getattr(spec, group, None), (part or {}).get(group)
        if spec is not None and getattr(spec, name) == type(spec).model_fields[name].default:
            part.pop(name, None)
    return data
