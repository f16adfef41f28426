"""Fields of a recipe that earlier versions do not know: at their defaults a training is the same as without them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
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


def identifying(recipe: Spec, without: Collection[str], later: Sequence[str] = LATER) -> dict[str, Any]:
    """What a training is known by, as plain data: the fields of its recipe but for those `without`, and those of
    `later` that have their defaults."""
    data = recipe.model_dump(mode="json", exclude={*without})
    for path in later:
        *groups, name = path.split(".")
        spec: Any = recipe
        part: Any = data
        for group in groups:
            spec, part = getattr(spec, group, None), (part or {}).get(group)
        if spec is not None and getattr(spec, name) == type(spec).model_fields[name].default:
            part.pop(name, None)
    return data
