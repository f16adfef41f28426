"""How a network is compiled for training: its precision, and unrolled or with runs of equal units in a loop."""

from __future__ import annotations

from reskeras.graph.keras_layers import Context
from reskeras.plans.plan import Plan
from reskeras.recipes.recipe import Recipe
from reskeras.training.precision import training_precision

SCANNED_UNITS = 50  # from here on a loop trains as fast as unrolled units and compiles several times faster


def training_form(plan: Plan, recipe: Recipe) -> str:
    """The form for training `plan`: as the recipe says; `auto` is scanned from SCANNED_UNITS units on.

    Recomputation needs the scanned form, so asking for it selects that form; batch norm synchronised over replicas is
    not available in it.
    """
    if recipe.form != "auto":
        return recipe.form
    if recipe.sync_bn:
        return "unrolled"
    return "scanned" if recipe.recompute or len(plan.units) >= SCANNED_UNITS else "unrolled"


def training_context(plan: Plan, recipe: Recipe, synchronized: bool) -> Context:
    """How the layers of a training model are made; `synchronized` takes batch norm's statistics over all replicas."""
    form = training_form(plan, recipe)
    return Context(training_precision(recipe.precision), recipe.seed, form, recipe.recompute, synchronized)
