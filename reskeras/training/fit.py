"""The one fit: a plan, a recipe and data, into a run folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import isfinite

import keras

from reskeras.data.pipeline import evaluation_batches, steps_per_epoch, training_batches
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Source, split_off
from reskeras.errors import failure
from reskeras.graph.compile import compile_plan
from reskeras.graph.weights import names_of
from reskeras.runs import RunFolder
from reskeras.spec.plan import Plan
from reskeras.spec.recipe import Recipe
from reskeras.training.callbacks import Pace, Record
from reskeras.training.optimizer import CoupledDecaySGD
from reskeras.training.precision import training_precision
from reskeras.training.schedule import RecipeSchedule

SCANNED_UNITS = 50  # from here on a loop trains as fast as units written out, and starts several times sooner


def compiled(plan: Plan, name: str, recipe: Recipe, steps: int) -> keras.Model:
    """The model of `plan` in the recipe's precision, with its optimiser, loss and metric.

    `steps` is the number of updates in an epoch, which the learning rate depends on.
    """
    model = compile_plan(plan, name, precision=training_precision(recipe.precision), seed=recipe.seed,
                         form=training_form(plan, recipe), recompute=recipe.recompute)
    model.compile(
        optimizer=CoupledDecaySGD(
            RecipeSchedule(recipe, steps), momentum=recipe.momentum, nesterov=recipe.nesterov,
            coupled_decay=recipe.weight_decay, decayed=recipe.decayed, rate_factors=recipe.rate_factors,
            names=names_of(model), global_clipnorm=recipe.clip_norm,
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,  # XLA halves the speed on a CPU
    )
    return model


def training_form(plan: Plan, recipe: Recipe) -> str:
    """How `plan` is compiled for training: as the recipe says; `auto` is scanned from SCANNED_UNITS units on.

    Recomputation needs the scanned form, so that asking for it is asking for that form.
    """
    if recipe.form != "auto":
        return recipe.form
    return "scanned" if recipe.recompute or len(plan.units) >= SCANNED_UNITS else "unrolled"


def fit(
    plan: Plan, name: str, recipe: Recipe, source: Source, preprocessing: Preprocessing, run: RunFolder,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> None:
    """Train `plan` on `source` by `recipe`; metrics and models go to `run`, epoch by epoch.

    Raises ReskerasError (status 1) when the loss is no longer finite; the last sound models stay.
    """
    keras.utils.set_random_seed(recipe.seed)
    train, held_out = split_off(source.train, recipe.holdout, recipe.seed)
    watched, watches = (held_out, "held-out") if held_out else (source.test, "test")
    steps = steps_per_epoch(train, recipe.batch_size)
    model = compiled(plan, name, recipe, steps)
    saved = compile_plan(plan, name)  # what is kept is float32, whatever the training computes in
    run.last_model_file.parent.mkdir(exist_ok=True)
    run.update_provenance(precision=training_precision(recipe.precision), form=training_form(plan, recipe),
                          training_images=train.count, watched=f"{watched.count} {watches} images")
    batches = training_batches(
        train, preprocessing, batch_size=recipe.batch_size, seed=recipe.seed, epochs=recipe.epochs,
        augment=recipe.augment, mirror=source.mirror,
    )
    began = time.perf_counter()
    history = model.fit(
        batches, epochs=recipe.epochs, steps_per_epoch=steps, verbose=0, shuffle=False,  # shuffled already
        validation_data=evaluation_batches(watched, preprocessing, recipe.batch_size),
        callbacks=[keras.callbacks.TerminateOnNaN(), Record(run, saved, picks=held_out is not None),
                   Pace(min(recipe.batch_size, train.count), watches), *callbacks],
    )
    run.update_provenance(training_seconds=round(time.perf_counter() - began, 1))
    losses = history.history["loss"]
    if not isfinite(losses[-1]):
        raise failure(f"train: the loss is not finite in epoch {len(losses)}; try a lower learning_rate or a "
                      f"longer schedule.warmup (recipe: {recipe.learning_rate:g}, {recipe.schedule.warmup:g})")
