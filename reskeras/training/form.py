"""The form that a network is compiled in for training: unrolled units, or runs of equal units scanned in a loop."""

from __future__ import annotations

from reskeras.plans.plan import Plan
from reskeras.recipes.recipe import Recipe

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
