"""How a network is compiled for training: precision, unrolled or scanned in a loop, by XLA or not."""

from __future__ import annotations

import tensorflow as tf

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


def training_xla(recipe: Recipe, replicas: int = 1) -> bool:
    """Whether XLA compiles the training step: as the recipe says; `auto` does so on a GPU, where it is faster, and not
    on a CPU, where it takes twice as long, nor where replicas synchronise inside the step, which it cannot compile."""
    if recipe.xla == "auto":
        return not recipe.synchronises(replicas) and bool(tf.config.list_physical_devices("GPU"))
    return recipe.xla


def training_context(plan: Plan, recipe: Recipe, synchronized: bool) -> Context:
    """How the layers of a training model are made; `synchronized` takes batch norm's statistics over all replicas."""
    form = training_form(plan, recipe)
    return Context(training_precision(recipe.precision), recipe.seed, form, recipe.recompute, synchronized)
