"""The one fit: a subject, which is a network with its data, trained by a recipe into a run folder."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import keras

from reskeras.caller_state import preserved, set_determinism
from reskeras.data.broken import READING_ERRORS, from_pipeline, reading_failure
from reskeras.graph.weights import read, write
from reskeras.runs import RunFolder
from reskeras.spec.recipe import Recipe
from reskeras.spec.recipe import recipe as recipe_with
from reskeras.training.callbacks import Averaged, Pace, Patience, Record, Watch
from reskeras.training.checkpoints import Checkpoints
from reskeras.training.course import Course
from reskeras.training.epochs import run_epochs
from reskeras.training.form import training_form
from reskeras.training.guards import Divergence, Keeper
from reskeras.training.memory import ran_out
from reskeras.training.position import Position
from reskeras.training.precision import training_precision
from reskeras.training.state import TrainingState
from reskeras.training.strategy import Replicas, open_replicas
from reskeras.training.subject import Subject
from reskeras.training.trained_model import TrainedModel
from reskeras.training.transfer import Start


@dataclass(frozen=True)
class Beside:
    """What a training does beside training: where it goes on from, and what it shows.

    `begin` and `until` train only the epochs between, though the schedule is that of the whole training: `begin` with
    a model that was trained so far. `show` draws progress. `start` is the run whose weights it begins with. `earlier`
    are numbers of epochs that the training had before it was made longer.
    """

    resume: bool = False
    tell: Callable[[str], None] = lambda note: None
    callbacks: Sequence[keras.callbacks.Callback] = ()
    begin: int = 0
    until: int | None = None
    show: bool = True
    start: Start | None = None
    earlier: tuple[int, ...] = ()

    def going_on(self, resume: bool, earlier: tuple[int, ...] = ()) -> Beside:
        """The same, with `resume` decided."""
        return replace(self, resume=resume, earlier=earlier)


@preserved()
def fit(
    subject: Subject, recipe: Recipe, run: RunFolder | None, replicas: Replicas | None = None,
    beside: Beside = Beside(), model: TrainedModel | None = None,
) -> str:
    """Train `subject` by `recipe`; metrics, models and states go to `run`. The digest of what was trained.

    With `beside.resume` it goes on from the run's newest whole state. `model` is what the subject compiled,
    when the caller has had that done. Without a run nothing is written. Raises ReskerasError: status 1 when the loss is
    no longer finite or a state cannot be written, 143 or 130 when a signal stopped it.
    """
    replicas = replicas or open_replicas("one")
    replicas.check(recipe.batch_size, recipe.accumulate)
    if recipe.deterministic:  # what is drawn needs no global seed: each operation has its own, of the recipe's
        set_determinism(True)
    feed = subject.feed(recipe, replicas)
    position = Position(feed.steps_per_epoch, recipe.steps(feed.steps_per_epoch))
    with replicas.strategy.scope():
        model = model or subject.compiled(recipe, position.total, recipe.sync_bn and replicas.count > 1)
        if beside.start:
            write(model, beside.start.fitted_weights(read(model)))
        model.prepare(*feed.example())
    if beside.begin:
        position.epoch = beside.begin
        model.optimizer.begin_at(position.steps)
    kept = run if replicas.is_chief else None
    record = Record(kept, subject.saved(), feed.held_out, position, subject.measure) if kept else None
    course = Course(recipe, subject.plan.weighted_layers(), model.optimizer.schedule, position, subject.measure)
    watch, patience = Watch(position), Patience(recipe.patience, subject.measure) if recipe.patience else None
    parts = {"course": course, "watch": watch, "record": record, "patience": patience}
    state = TrainingState(model, position, {role: part for role, part in parts.items() if part},
                          fingerprint(subject, recipe),
                          {fingerprint(subject, recipe_with(recipe, epochs=epochs)) for epochs in beside.earlier})
    checkpoints = Checkpoints(run.checkpoint_folder, recipe.keep) if run else None
    if beside.resume and run:
        _resume(state, checkpoints, kept, beside.tell)
    if kept:
        kept.update_provenance(
            precision=training_precision(recipe.precision), form=training_form(subject.plan, recipe),
            replicas=replicas.count, training_images=feed.train.count,
            watched=f"{feed.watched.count} {feed.watches} images")
    writes = checkpoints if kept else None
    began = time.perf_counter()
    shown = Pace(recipe.step_images, feed.watches, position, subject.measure) if record and beside.show else None
    with shown or nullcontext(), Keeper(
            state, writes, recipe.checkpoint_steps, replicas.any, record.writing if record else None) as keeper:
        callbacks = [position, Divergence(recipe, position, writes), watch, course, Averaged(), record, shown, patience,
                     *beside.callbacks, keeper]
        if patience and patience.over:
            beside.tell(f"patience: {recipe.patience} epochs without a better one have ended this training")
        else:
            try:
                run_epochs(model, feed, position, [each for each in callbacks if each], beside.until)
            except READING_ERRORS as error:  # a file that was there when the data was opened, most often
                if ran_out(error):  # the job tells of it
                    raise
                image = feed.broken_image(position.epoch, position.step) if from_pipeline(error) else None
                raise reading_failure(error, image) from error
        if record:
            record.finish()
    digest = state.digest()
    if kept:
        kept.update_provenance(trained_sha256=digest, training_seconds=round(time.perf_counter() - began, 1))
    return digest


def fingerprint(subject: Subject, recipe: Recipe) -> str:
    """What tells trainings apart whose states must not be mixed up: network and recipe, not where states are kept."""
    free = {"description", "keep", "checkpoint_steps"}
    told = {**subject.described(),
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
        run.keep_metrics(state.position.epoch, tell)
