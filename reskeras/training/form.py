"""The form a network is compiled in for training: its units written out, or runs of equal ones as a loop."""

from __future__ import annotations

from reskeras.spec.plan import Plan
from reskeras.spec.recipe import Recipe

SCANNED_UNITS = 50  # from here on a loop trains as fast as units written out, and starts several times sooner


def training_form(plan: Plan, recipe: Recipe) -> str:
    """How `plan` is compiled for training: as the recipe says; `auto` is scanned from SCANNED_UNITS units on.

    Recomputation needs the scanned form, so that asking for it is asking for that form; statistics over all
    replicas cannot be had in it.
    """
    if recipe.form != "auto":
        return recipe.form
    if recipe.sync_bn:
        return "unrolled"
    return "scanned" if recipe.recompute or len(plan.units) >= SCANNED_UNITS else "unrolled"
