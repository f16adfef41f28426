"""Training on integers: how it begins with the weights of a run that was trained in floating point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from reskeras.errors import ReskerasError
from reskeras.graph.compile import compile_plan
from reskeras.graph.integers import calibrated, integer_form
from reskeras.graph.keras_layers import Context
from reskeras.graph.weights import read
from reskeras.networks.any_network import AnyNetwork
from reskeras.plans.integers import KERNEL_BITS
from reskeras.recipes.recipe import Recipe
from reskeras.training.transfer import Start

IMAGES = 500  # that ranges are calibrated on before the first step


@dataclass(frozen=True)
class IntegerStart(Start):
    """As `Start`, of a network in floating point for one of integers: `spec`, quantised."""

    spec: AnyNetwork | None = None
    seed: int | None = None
    measures: ClassVar[int] = IMAGES

    def fitted_weights(self, own: Mapping[str, np.ndarray], images: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """The weights in their integer form, with ranges calibrated on normalised `images`."""
        assert self.spec is not None and self.spec.quantise and images is not None
        plan = self.spec.float_plan
        fitted = super().fitted_weights(read(compile_plan(plan, "start", Context(seed=self.seed))))
        made, weights = integer_form(plan, fitted, KERNEL_BITS[self.spec.quantise])
        return calibrated(made, weights, images)


def integer_start(start: Start | None, spec: AnyNetwork, recipe: Recipe) -> Start | None:
    """`start` for a training of `spec`: in its integer form where that is quantised and the start is not."""
    if start is None or not spec.quantise or any(name.endswith("_range/low") for name in start.weights):
        return start
    return IntegerStart(**{each.name: getattr(start, each.name) for each in fields(start)}, spec=spec, seed=recipe.seed)


def check_integers(spec: AnyNetwork, recipe: Recipe) -> None:
    """ReskerasError where `recipe` trains a quantised `spec` otherwise than in float32 and unrolled."""
    if not spec.quantise:
        return
    for field, given, needed in (("precision", recipe.precision, "float32"), ("form", recipe.form, "unrolled")):
        if given != needed:
            raise ReskerasError(
                f"{field}: {given} does not go with quantise: {spec.quantise}, which needs {needed}; the recipe "
                "quantise has it"
            )
