"""What a training would choose on this machine, asked of the functions that decide it in a training."""

from __future__ import annotations

import tensorflow as tf

from reskeras.diagnosis.facts import Choices
from reskeras.errors import ReskerasError
from reskeras.launch.cluster import cluster
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.catalog import name_of
from reskeras.plans.plan import Plan
from reskeras.recipes.recipe import Recipe
from reskeras.training.form import training_form, training_xla
from reskeras.training.memory import check_memory
from reskeras.training.precision import training_precision
from reskeras.training.strategy import Replicas, open_replicas

FLOAT = 4
SAVED = 2  # models kept in a run


def local_replicas(strategy: str, devices: int | None) -> Replicas:
    """The replicas on this machine of a strategy that was chosen. Those of a cluster would wait for its other workers:
    of these, the ones that this worker has."""
    if strategy != "multi-worker":
        return open_replicas(strategy, devices)
    return open_replicas("mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "one")


def find_choices(
    spec: AnyNetwork, plan: Plan, recipe: Recipe, recipe_name: str, strategy: str, replicas: Replicas
) -> Choices:
    """The choices for training `plan`; `replicas` are those on this machine, `strategy` the one that was chosen."""
    here = cluster() if strategy == "multi-worker" else None
    workers = len(here.workers) if here else 1
    count, parameters = replicas.count * workers, plan.complexity().parameters
    refusal, note, precision = None, "", None
    try:
        precision = training_precision(recipe.precision)
        recipe.check_replicas(count)
        note = check_memory(plan, recipe, recipe.step_images // workers)
    except ReskerasError as error:
        refusal = str(error)
    return Choices(
        network=name_of(spec),
        recipe=recipe_name,
        strategy=strategy,
        workers=workers,
        devices=replicas.count,
        batch=recipe.step_images,
        precision=precision,
        xla=training_xla(recipe, count),
        form=training_form(plan, recipe),
        step_bytes=recipe.step_bytes(plan, recipe.step_images // count, precision) if precision else 0,
        run_bytes=FLOAT * parameters * (SAVED + (1 + recipe.slots) * (recipe.keep + 1)),
        refusal=refusal,
        note=note,
    )
