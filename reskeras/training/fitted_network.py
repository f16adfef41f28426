"""A network's spec fitted to what it is trained on: its classes and channels, and stochastic depth."""

from __future__ import annotations

from typing import cast

from reskeras.data.source import Source
from reskeras.documents.fields import InputShape
from reskeras.errors import ReskerasError
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.overrides import laid_over
from reskeras.recipes.recipe import Recipe


def fitted_to_data(spec: AnyNetwork, source: Source) -> AnyNetwork:
    """`spec` with the classes and channels of `source`; ReskerasError when set fields contradict them."""
    classes, channels = len(source.classes), source.channels
    height, width, _ = cast(InputShape, spec.decided().input_shape)  # which a decided spec has
    asked = spec.sparse()
    if asked.get("classes", classes) != classes:
        raise ReskerasError(f"classes: {asked['classes']} contradicts {source.name}, which has {classes} classes")
    if asked.get("input_shape", (channels,))[-1] not in (channels, None):
        raise ReskerasError(
            f"input_shape: {asked['input_shape'][-1]} channels contradict {source.name}, whose images have {channels}"
        )
    return laid_over(spec, {"classes": classes, "input_shape": [height, width, channels]})


def without_data(spec: AnyNetwork, source: Source) -> AnyNetwork:
    """The `spec` of a run with the classes and channels of `source` instead of those of its own data."""
    shape = spec.sparse().get("input_shape")
    changes = {"classes": len(source.classes)} | ({"input_shape": [*shape[:2], source.channels]} if shape else {})
    return laid_over(spec, changes)


def with_drop_path(spec: AnyNetwork, chosen: Recipe) -> AnyNetwork:
    """`spec` with the recipe's stochastic depth, unless the spec sets its own."""
    if chosen.drop_path is None or "drop_path" not in type(spec).model_fields or "drop_path" in spec.model_fields_set:
        return spec
    return laid_over(spec, {"drop_path": chosen.drop_path})
