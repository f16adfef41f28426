"""Training loop of every task: fit a subject (a network with its data) by a recipe into a run folder."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from reskeras.caller_state import preserved, set_determinism
from reskeras.data.broken import READING_ERRORS, from_pipeline, reading_failure
from reskeras.graph.weights import read, write
from reskeras.plans.plan import Plan
from reskeras.recipes.later import identifying
from reskeras.recipes.recipe import Recipe
from reskeras.recipes.recipe import recipe as recipe_with
from reskeras.recipes.sizes import in_words
from reskeras.recipes.whitening import WhitenSpec
from reskeras.runs import BOOKKEEPING, RunFolder
from reskeras.training.callbacks import (
    AveragedEvaluation,
    GradientLogger,
    JudgedEpochs,
    Patience,
    ProgressPrinter,
    RunRecorder,
)
from reskeras.training.checkpoints import Checkpoints, packed, unpacked
from reskeras.training.epochs import run_epochs
from reskeras.training.exchange import tells_of_loss
from reskeras.training.form import training_form
from reskeras.training.guards import DivergenceStop, StateKeeper
from reskeras.training.memory import ran_out
from reskeras.training.optimizer import inner_optimizer
from reskeras.training.position import Position
from reskeras.training.precision import training_precision
from reskeras.training.schedule_controller import ScheduleController
from reskeras.training.state import Part, TrainingState
from reskeras.training.strategy import Replicas, open_replicas
from reskeras.training.subject import Feeding, Subject
from reskeras.training.trained_model import TrainedModel
from reskeras.training.transfer import Start
from reskeras.training.whitening import images_to_whiten, whitening_kernel


@dataclass(frozen=True)
class FitOptions:
    """Options of a fit that are not part of the recipe: where it starts from, and what it reports.

    `begin` and `until` train only the epochs between them, on the schedule of the whole training; with `begin` the
    model must have been trained that far. `show` shows progress. `start` is the run to fine-tune. `earlier` are the
    numbers of epochs that the training had before it was lengthened.
    """

    resume: bool = False
    tell: Callable[[str], None] = lambda note: None
    callbacks: Sequence[keras.callbacks.Callback] = ()
    begin: int = 0
    until: int | None = None
    show: bool = True
    start: Start | None = None
    earlier: tuple[int, ...] = ()

    def going_on(self, resume: bool, earlier: tuple[int, ...] = ()) -> FitOptions:
        """The same, with `resume` decided."""
        return replace(self, resume=resume, earlier=earlier)


@dataclass(frozen=True)
class _OwnCallbacks:
    """The callbacks that a fit adds to the caller's, except those that guard it; None for what it does without."""

    judged: JudgedEpochs | None
    watch: GradientLogger
    course: ScheduleController
    record: RunRecorder | None
    shown: ProgressPrinter | None
    patience: Patience | None

    def in_order(self) -> list[keras.callbacks.Callback | None]:
        """They run in this order; averaged weights are evaluated before anything is recorded."""
        return [self.judged, self.watch, self.course, AveragedEvaluation(), self.record, self.shown, self.patience]

    def parts(self) -> dict[str, Part]:
        """Those with state, by their names in checkpoints."""
        named: dict[str, Part | None] = {
            "course": self.course,
            "watch": self.watch,
            "record": self.record,
            "patience": self.patience,
        }
        return {role: part for role, part in named.items() if part}


@preserved()
def fit(
    subject: Subject,
    recipe: Recipe,
    run: RunFolder | None,
    replicas: Replicas | None = None,
    options: FitOptions = FitOptions(),
    model: TrainedModel | None = None,
    feed: Feeding | None = None,
) -> str:
    """Train `subject` by `recipe`, writing metrics, models and checkpoints to `run`; returns the digest of the result.

    With `options.resume` it continues from the run's newest intact checkpoint. Only the chief of several workers reads
    and writes the run. `model` is the subject's compiled model, `feed` its input pipeline, if the caller has them
    already. Without a run nothing is written. Raises ReskerasError: status 1 when the loss diverges, a checkpoint
    cannot be written or a worker is lost, 143 or 130 when stopped by a signal.
    """
    replicas = replicas or open_replicas("one")
    replicas.check(recipe)
    if recipe.deterministic:  # no global seed is needed: every random op has a seed of its own, from the recipe
        set_determinism(True)
    feed = feed or subject.feed(recipe, replicas)
    position = Position(feed.steps_per_epoch, recipe.steps(feed.steps_per_epoch))
    with replicas.strategy.scope():
        model = _prepared(model, subject, recipe, replicas, feed, position, options)
    kept = run if replicas.is_chief else None
    judge = subject.judge(feed)
    judged = JudgedEpochs(judge, replicas) if judge else None
    own = _own_callbacks(subject, recipe, model, feed, position, kept, options.show, judged)
    others = {fingerprint(subject, recipe_with(recipe, epochs=epochs)) for epochs in options.earlier}
    state = TrainingState(model, position, own.parts(), fingerprint(subject, recipe), others)
    checkpoints = Checkpoints(kept.checkpoint_folder, recipe.keep) if kept else None
    if options.resume and run:
        _resume(state, replicas, checkpoints, kept, options.tell)
    if judge and judge.told:
        options.tell(judge.told)
    if recipe.sizes:
        options.tell(f"sizes: {in_words(feed.changes, len(recipe.sizes))}")
    if kept:
        kept.update_provenance(**_facts(subject, recipe, replicas, feed))
    began = time.perf_counter()
    writing = own.record.writing if own.record else None
    stop = DivergenceStop(recipe, position, checkpoints)
    agreed = replicas.any if replicas.workers > 1 else None
    with (
        own.shown or nullcontext(),
        StateKeeper(state, checkpoints, recipe.checkpoint_steps, stop, agreed, writing) as keeper,
    ):
        if own.patience and own.patience.over:
            options.tell(f"patience: this training has ended after {recipe.patience} epochs without improvement")
        else:
            _run(model, feed, position, options, [position, stop, *own.in_order(), *options.callbacks, keeper])
        if own.record:
            own.record.finish()
    digest = state.digest()
    if kept:
        kept.update_provenance(trained_sha256=digest, training_seconds=round(time.perf_counter() - began, 1))
    return digest


def _prepared(
    model: TrainedModel | None,
    subject: Subject,
    recipe: Recipe,
    replicas: Replicas,
    feed: Feeding,
    position: Position,
    options: FitOptions,
) -> TrainedModel:
    """The compiled model with its initial weights, positioned at the first epoch to train."""
    model = model or subject.compiled(recipe, position.total, recipe.synchronises(replicas.count))
    if options.start:
        write(model, _started(options.start, model, replicas, feed))
    if recipe.whiten:
        _whiten(recipe.whiten, model, subject.plan, replicas, feed, options)
    model.prepare(feed.finished, *feed.example())
    if options.begin:
        position.epoch = options.begin
        inner_optimizer(model).begin_at(position.steps)
    return model


def _started(start: Start, model: TrainedModel, replicas: Replicas, feed: Feeding) -> dict[str, np.ndarray]:
    """The weights of `start` for `model`; what it measures on images, the chief measures for all workers."""
    own = read(model)
    if not start.measures:
        return start.fitted_weights(own)

    def fitted() -> Mapping[str, np.ndarray] | None:
        return start.fitted_weights(own, feed.sample(start.measures))

    shared: Mapping[str, np.ndarray] | None = replicas.from_chief(fitted, packed, unpacked)
    return dict(shared or {})


def _whiten(
    spec: WhitenSpec, model: TrainedModel, plan: Plan, replicas: Replicas, feed: Feeding, options: FitOptions
) -> None:
    """Begin with a whitening first convolution, which the chief computes for all workers, and which stays if frozen."""
    conv = spec.convolution(plan)
    name = f"{conv.name}/kernel"
    if spec.frozen:
        inner_optimizer(model).rate_factors[name] = 0.0
    if options.begin:  # the model has been trained that far
        return

    def kernel() -> Mapping[str, np.ndarray] | None:
        images = feed.sample(images_to_whiten(conv, plan.input_shape, spec.images))
        return {name: whitening_kernel(conv, images, spec.epsilon)}

    computed: Mapping[str, np.ndarray] | None = replicas.from_chief(kernel, packed, unpacked)
    write(model, {**read(model), **(computed or {})})


def _own_callbacks(
    subject: Subject,
    recipe: Recipe,
    model: TrainedModel,
    feed: Feeding,
    position: Position,
    run: RunFolder | None,
    show: bool,
    judged: JudgedEpochs | None,
) -> _OwnCallbacks:
    """The callbacks of a fit that writes to `run`, or nothing, and may `show` its progress."""
    measure, layers = subject.measure, subject.plan.weighted_layers()
    return _OwnCallbacks(
        judged,
        GradientLogger(position),
        ScheduleController(recipe, layers, inner_optimizer(model).schedule, position, measure),
        RunRecorder(run, subject.saved(), feed.held_out, position, measure) if run else None,
        ProgressPrinter(recipe.step_images, feed.watches, position, measure, feed.changes) if run and show else None,
        Patience(recipe.patience, measure) if recipe.patience else None,
    )


def _facts(subject: Subject, recipe: Recipe, replicas: Replicas, feed: Feeding) -> dict[str, Any]:
    """How the run was trained, for its provenance."""
    return {
        "precision": training_precision(recipe.precision),
        "form": training_form(subject.plan, recipe),
        "replicas": replicas.count,
        "training_images": feed.train.count,
        "watched": f"{feed.watched.count} {feed.watches} images",
        **({"training_sizes": in_words(feed.changes, len(recipe.sizes))} if recipe.sizes else {}),
    }


def _run(
    model: TrainedModel,
    feed: Feeding,
    position: Position,
    options: FitOptions,
    callbacks: Sequence[keras.callbacks.Callback | None],
) -> None:
    """Train the remaining epochs; an unreadable image is reported by name."""
    try:
        run_epochs(model, feed, position, [each for each in callbacks if each], options.until)
    except READING_ERRORS as error:  # mostly a file that has gone or changed since the data was opened
        if ran_out(error) or tells_of_loss(error):  # the job reports it
            raise
        image = feed.broken_image(position.epoch, position.step) if from_pipeline(error) else None
        raise reading_failure(error, image) from error


def fingerprint(subject: Subject, recipe: Recipe) -> str:
    """Identifies trainings that may share checkpoints: a hash of network and recipe, without the bookkeeping fields."""
    told = {**subject.described(), "recipe": identifying(recipe, BOOKKEEPING)}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _resume(
    state: TrainingState,
    replicas: Replicas,
    checkpoints: Checkpoints | None,
    run: RunFolder | None,
    tell: Callable[[str], None],
) -> None:
    """Restore the newest checkpoint, which the chief sends to all workers."""
    arrays = replicas.from_chief(lambda: checkpoints.newest(tell) if checkpoints else None, packed, unpacked)
    if arrays is None:
        tell("resume: no state to resume from; training starts from the beginning")
    else:
        state.restore(arrays)
        position = state.position
        tell(f"resume: continuing after epoch {position.epoch}" + (f", step {position.step}" if position.step else ""))
    if run:
        run.keep_metrics(state.position.epoch, tell)
