"""The entry point of training for every task: from a request to a finished run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reskeras.addresses import is_address
from reskeras.caller_state import preserved
from reskeras.data.registry import Data
from reskeras.data.source import Source
from reskeras.errors import ReskerasError
from reskeras.evaluation.statistics import recalibrate
from reskeras.graph.weights import read
from reskeras.networks.any_spec import AnySpec
from reskeras.networks.request import recipe_of
from reskeras.readers import CLASSES, OBJECTS
from reskeras.recipes.batch_statistics import BatchStatisticsSpec
from reskeras.recipes.rate_note import rate_note
from reskeras.recipes.recipe import Recipe
from reskeras.recipes.recipe import recipe as read_recipe
from reskeras.runs import RunFolder, place_for
from reskeras.tasks.run import Run
from reskeras.tasks.task import Task, find_task
from reskeras.training.checkpoints import packed, unpacked
from reskeras.training.fit import FitOptions
from reskeras.training.job import Job, begun_division
from reskeras.training.own_parts import check_callbacks, parted
from reskeras.training.strategy import Replicas, open_replicas
from reskeras.training.tensorboard_logs import tensorboard
from reskeras.training.transfer import Start

if TYPE_CHECKING:  # reskeras.engine imports it first, quietly
    import keras

Tell = Callable[[str], None]


@preserved()
def train(
    spec: str | Path | AnySpec,
    data: Data = "digits",
    recipe: str | Path | Recipe | None = None,
    *,
    task: str = "classification",
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    cache: str | Path | None = None,
    resume: bool = False,
    strategy: str = "auto",
    devices: int | None = None,
    histograms: bool = False,
    profile: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    tell: Callable[[str], None] = lambda note: None,
    start: str | Path | Run | None = None,
    **recipe_fields: Any,
) -> Run:
    """Train a network on data by a recipe, into a run folder. Raises ReskerasError before anything is written.

    `data` is a source's name; for classifiers also whatever `reskeras.source` takes: a Source, arrays, datasets. `task`
    is `classification` or `detection`. `start` is a run to fine-tune: its weights and preprocessing are taken
    over; the logits are initialised anew where the classes differ, and an RGB stem is summed over its input channels
    for grey images. The recipe defaults to the one in the network's file, if any, else to the task's own;
    `recipe_fields` such as `epochs=2` or `freeze="stage2"` override its fields.

    Three of these may be objects of your own: `optimizer` one of Keras' (its learning rate and weight decay become the
    recipe's, whose rules it follows), `loss` a function of targets and logits, both float32 (n, classes), to the loss
    of each image (n,), and `augment` one of images, float32 (n, height, width, channels) in 0..255, and a seed for
    each, int32 (n, 2), to such images.

    With `resume` a run continues from its newest checkpoint, or is created. `cache` is "ram" or a local folder, which
    keeps the bytes of images once they have been read. `strategy` and `devices` are as in `open_replicas`; of several
    workers the first one's `out` and `resume` count. `histograms` and `profile`, a number of steps, add to the
    TensorBoard files. `tell` gets one line per note.
    """
    trained = find_task(task)
    replicas = open_replicas(strategy, devices, tell)  # before TensorFlow computes anything
    opened = partial(_opened, trained, data, data_dir, cache, tell)
    with replicas.losses_told():
        with replicas.together():
            named = recipe or recipe_of(spec, trained.recipe_for(trained.spec(spec)))
            begun = _begun(start, out if resume else None)
            own, fields = parted(recipe_fields)
            callbacks = check_callbacks(callbacks)
            spec, chosen = trained.spec(spec), read_recipe(named, **fields)
            source = opened()
            asked, trained = trained, trained.on(source)
            chosen = trained.beginning_recipe(chosen, spec, begun, source) if begun else chosen
            replicas.check(chosen)
            kind = (
                "" if trained.name == asked.name else f"{source.label}: several classes per image, for a {trained.noun}"
            )
            job = replace(_job(trained, spec, chosen, source, data_dir, begun), own=own)
            job.plan  # noqa: B018 - refuses what does not fit before the notes are printed
        path = Path(replicas.from_chief(lambda: str(place_for(out, job.name, resume))))
        division = replicas.from_chief(lambda: begun_division(path) if resume else None)
        with replicas.together():
            job = _divided(job, division, opened)
            rate = "" if own.optimizer else rate_note(chosen, fields, named)
            for note in filter(None, (*job.source.notes, *job.notes, kind, rate, own.note)):
                tell(note)
            begins = _start(trained, begun, chosen, tell)
        begins = job.beginning(_measured(begins, begun, chosen, replicas, data_dir, tell))
    boards = tensorboard(RunFolder(path), histograms, profile) if replicas.is_chief else []
    job.run(path, replicas, FitOptions(resume, tell, [*boards, *callbacks], start=begins))
    run = Run(path) if replicas.is_chief else trained.run_type().elsewhere(path)
    run.given = None if isinstance(data, str) else job.source
    return run


def _begun(start: str | Path | Run | None, going_on: str | Path | None) -> Run | None:
    """The run to start from; of a training that goes on in a folder the one that it started from, if that is there."""
    if start is None and going_on is not None:
        with suppress(ReskerasError):  # there is no run yet
            begun = RunFolder(Path(going_on)).provenance().get("begun_from")
            start = begun if isinstance(begun, str) and not is_address(begun) and Path(begun).is_dir() else None
    return None if start is None else start if isinstance(start, Run) else Run(start)


def _job(
    trained: Task, spec: Any, recipe: Recipe, source: Source, data_dir: str | Path | None, begun: Run | None
) -> Job:
    """The training of `spec`, which may begin with the weights of the run `begun`. Raises ReskerasError where
    they do not fit together."""
    spec = trained.beginning_spec(spec, source) if begun else spec
    return trained.job(spec, recipe, source, data_dir or source.data_dir)


def _divided(job: Job, division: int | None, opened: Callable[..., Source]) -> Job:
    """`job` with its data divided by the rule that its run began with, if there is one."""
    return job if division in (None, job.source.division) else replace(job, source=opened(division=division))


def _opened(
    trained: Task, data: Data, data_dir: str | Path | None, cache: str | Path | None, tell: Tell, **how: Any
) -> Source:
    """The source of `data`, its images kept in `cache` if that is given."""
    if cache is not None and trained.annotation != CLASSES:
        raise ReskerasError("cache: only for classifiers")
    source = trained.open_source(data, data_dir, **how)
    if cache is None:
        return source
    from reskeras.data.cached import cached

    return cached(source, cache, tell)


def _start(trained: Task, begun: Run | None, recipe: Recipe, tell: Callable[[str], None]) -> Start | None:
    """What the training takes over from the run `begun`, if any; `tell` gets a line about it and what is frozen.
    Raises ReskerasError where the recipe needs one."""
    if begun is None:
        if recipe.bn_statistics:
            raise ReskerasError(
                "bn_statistics: needs a run to start from (start, or --from), on whose images they are measured"
            )
        return None
    start = trained.start(begun)
    beside = ["learning from its outputs too"] if recipe.teacher == str(begun.path) else []
    beside += [f"frozen up to {recipe.freeze}"] if recipe.freeze else []
    beside += ["batch norm frozen"] if recipe.frozen_bn else []
    tell(", ".join([f"starting from {start.name}", *beside]))
    return start


def _measured(
    start: Start | None, begun: Run | None, recipe: Recipe, replicas: Replicas, data_dir: str | Path | None, tell: Tell
) -> Start | None:
    """`start` with batch norm's statistics measured anew by the chief, where the recipe asks for that."""
    spec = recipe.bn_statistics
    if start is None or begun is None or spec is None:
        return start
    statistics: Callable[[], Any] = partial(_statistics, begun, spec, data_dir, tell)
    measured = replicas.from_chief(statistics, packed, unpacked)
    return replace(start, weights={name: measured.get(name, value) for name, value in start.weights.items()})


def _statistics(
    begun: Run, spec: BatchStatisticsSpec, data_dir: str | Path | None, tell: Tell
) -> dict[str, np.ndarray]:
    """The weights of the run `begun`, a classifier's, with batch norm's statistics measured anew."""
    task = find_task(begun.task)
    if task.annotation == OBJECTS:
        raise ReskerasError(f"bn_statistics: {begun.path} is a {task.noun}; they are measured on a classifier's images")
    if spec.data is None and not begun.folder.provenance().get("data"):
        raise ReskerasError(
            f"bn_statistics: {begun.path} was ported and has no data; set data to a source of its training images"
        )
    source = begun.source() if spec.data is None else task.open_source(spec.data, data_dir)
    model, preprocessing = begun.model(), begun.preprocessing()
    split = source.with_channels(preprocessing.channels).training_images("bn_statistics")
    images = recalibrate(model, split, preprocessing, spec.images, in_turn=True)
    tell(f"bn_statistics: measured on {images:,} training images of {source.name}")
    return {name: value for name, value in read(model).items() if "/moving_" in name}


def train_detector(spec: str | Path | AnySpec, data: str, recipe: str | Path | Recipe | None = None, **how: Any) -> Run:
    """Train a Faster R-CNN detector on annotated images by a recipe, into a run folder: a `DetectorRun`.

    `spec` is a DetectorSpec, or whatever `reskeras.detector` accepts. `data` is the name of annotated
    images, such as voc:PATH, or the path of their folder.
    `start` is a run to fine-tune: a classifier with the same network as the backbone, or a detector; batch norm is then
    frozen at its statistics, as in the paper, unless the recipe sets `frozen_bn`. Everything else is as in
    `reskeras.train`; the default recipe is `detector`.
    """
    return train(spec, data, recipe, task="detection", **how)
