"""The one fit: a plan, a recipe and data, into a run folder."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import keras
import tensorflow as tf

from reskeras.data.broken import reading_failure
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Source
from reskeras.graph.compile import compile_plan
from reskeras.graph.weights import names_of, read, write
from reskeras.runs import RunFolder
from reskeras.spec.plan import Plan
from reskeras.spec.plan_data import unit_data
from reskeras.spec.recipe import Recipe
from reskeras.training.callbacks import Averaged, Pace, Patience, Record, Watch
from reskeras.training.checkpoints import Checkpoints
from reskeras.training.course import Course
from reskeras.training.epochs import run_epochs
from reskeras.training.feed import Feed
from reskeras.training.guards import Divergence, Keeper
from reskeras.training.optimizer import CoupledDecaySGD
from reskeras.training.position import Position
from reskeras.training.precision import training_precision
from reskeras.training.schedule import RecipeSchedule
from reskeras.training.state import TrainingState
from reskeras.training.strategy import Replicas, open_replicas
from reskeras.training.trained_model import TrainedModel
from reskeras.training.transfer import Start, freeze

SCANNED_UNITS = 50  # from here on a loop trains as fast as units written out, and starts several times sooner


@dataclass(frozen=True)
class Beside:
    """What a training does beside training: where it goes on from, and what it shows.

    `begin` and `until` train only the epochs between, though the schedule is that of the whole training: `begin` with
    a model that was trained so far. `show` draws progress. `start` is the run whose weights it begins with.
    """

    resume: bool = False
    tell: Callable[[str], None] = lambda note: None
    callbacks: Sequence[keras.callbacks.Callback] = ()
    begin: int = 0
    until: int | None = None
    show: bool = True
    start: Start | None = None

    def going_on(self, resume: bool) -> Beside:
        """The same, with `resume` decided."""
        return replace(self, resume=resume)


def compiled(plan: Plan, name: str, recipe: Recipe, steps: int, synchronized: bool = False) -> TrainedModel:
    """The model of `plan` in the recipe's precision and form, with its optimiser, loss and metric.

    `steps` is the number of updates of the whole training, which the learning rate depends on.
    """
    model = compile_plan(plan, name, precision=training_precision(recipe.precision), seed=recipe.seed,
                         form=training_form(plan, recipe), recompute=recipe.recompute, synchronized=synchronized,
                         cut=recipe.freeze, model_class=TrainedModel)
    freeze(model, plan, recipe.freeze, recipe.frozen_bn)
    losses = keras.losses
    loss = losses.CategoricalCrossentropy if recipe.soft_labels else losses.SparseCategoricalCrossentropy
    model.compile(
        optimizer=CoupledDecaySGD(
            RecipeSchedule(recipe, steps), momentum=recipe.momentum, nesterov=recipe.nesterov,
            coupled_decay=recipe.weight_decay, decayed=recipe.decayed, rate_factors=recipe.rate_factors,
            names=names_of(model), clip_norm=recipe.clip_norm, ema=recipe.ema,
            gradient_accumulation_steps=recipe.accumulate if recipe.accumulate > 1 else None,
        ),
        loss=loss(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,  # XLA halves the speed on a CPU
    )
    return model


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


def fit(
    plan: Plan, name: str, recipe: Recipe, source: Source, preprocessing: Preprocessing, run: RunFolder | None,
    replicas: Replicas | None = None, beside: Beside = Beside(), model: TrainedModel | None = None,
) -> str:
    """Train `plan` on `source` by `recipe`; metrics, models and states go to `run`. The digest of what was trained.

    With `beside.resume` it goes on from the run's newest whole state. `model` is what `compiled` made of the plan,
    when the caller has done that. Without a run nothing is written. Raises ReskerasError: status 1 when the loss is
    no longer finite or a state cannot be written, 143 or 130 when a signal stopped it.
    """
    replicas = replicas or open_replicas("one")
    replicas.check(recipe.batch_size, recipe.accumulate)
    _settle_chance(recipe)
    feed = Feed(recipe, source, preprocessing, replicas)
    position = Position(feed.steps_per_epoch, recipe.steps(feed.steps_per_epoch))
    with replicas.strategy.scope():
        model = model or compiled(plan, name, recipe, position.total, recipe.sync_bn and replicas.count > 1)
        if beside.start:
            write(model, beside.start.fitted_weights(read(model)))
        model.prepare(*feed.example())
    if beside.begin:
        position.epoch = beside.begin
        model.optimizer.iterations.assign(position.steps // recipe.accumulate)
    kept = run if replicas.is_chief else None
    record = Record(kept, compile_plan(plan, name), feed.held_out, position) if kept else None
    course, watch = Course(recipe, plan.weighted_layers(), model.optimizer.schedule, position), Watch(position)
    patience = Patience(recipe.patience) if recipe.patience else None
    parts = {"course": course, "watch": watch, "record": record, "patience": patience}
    state = TrainingState(model, position, {role: part for role, part in parts.items() if part},
                          fingerprint(plan, recipe))
    checkpoints = Checkpoints(run.checkpoint_folder, recipe.keep) if run else None
    if beside.resume and run:
        _resume(state, checkpoints, kept, beside.tell)
    if kept:
        kept.update_provenance(
            precision=training_precision(recipe.precision), form=training_form(plan, recipe), replicas=replicas.count,
            training_images=feed.train.count, watched=f"{feed.watched.count} {feed.watches} images")
    writes = checkpoints if kept else None
    began = time.perf_counter()
    shown = Pace(recipe.step_images, feed.watches, position) if record and beside.show else None
    with shown or nullcontext(), Keeper(state, writes, recipe.checkpoint_steps, replicas.any) as keeper:
        callbacks = [position, Divergence(recipe, position, writes), course, watch, Averaged(), record, shown, patience,
                     *beside.callbacks, keeper]
        if not (patience and patience.over):
            try:
                run_epochs(model, feed, position, [each for each in callbacks if each], beside.until)
            except tf.errors.OpError as error:  # a file that was there when the data was opened, most often
                raise reading_failure(error) from error
        if record:
            record.finish()
    digest = state.digest()
    if kept:
        kept.update_provenance(trained_sha256=digest, training_seconds=round(time.perf_counter() - began, 1))
    return digest


def _settle_chance(recipe: Recipe) -> None:
    keras.utils.set_random_seed(recipe.seed)
    if recipe.deterministic:
        tf.config.experimental.enable_op_determinism()


def fingerprint(plan: Plan, recipe: Recipe) -> str:
    """What tells trainings apart whose states must not be mixed up: network and recipe, not where states are kept."""
    free = {"description", "keep", "checkpoint_steps"}
    told = {"units": [unit_data(unit) for unit in plan.units], "input": plan.input_shape,
            "recipe": {name: value for name, value in recipe.model_dump(mode="json").items() if name not in free}}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _resume(
    state: TrainingState, checkpoints: Checkpoints, run: RunFolder | None, tell: Callable[[str], None]
) -> None:
    arrays = checkpoints.newest(tell)
    if arrays is None:
        tell("resume: there is no state to go on from; the training begins anew")
    else:
        state.restore(arrays)
        position = state.position
        tell(f"resume: going on after epoch {position.epoch}" + (f", step {position.step}" if position.step else ""))
    if run:
        run.keep_metrics(state.position.epoch)
