"""The run that a classifier learns from besides labels: opened, and checked against its student."""

from __future__ import annotations

from collections.abc import Sequence

from reskeras.data.layout import folded
from reskeras.data.source import Source, Split
from reskeras.errors import ReskerasError
from reskeras.graph.weights import read
from reskeras.runs import numbered
from reskeras.tasks.run import Run
from reskeras.tasks.task import find_task
from reskeras.training.distillation import Teacher


def open_teacher(path: str, task: str, input_shape: Sequence[int], source: Source[Split]) -> Teacher:
    """The best model of the run at `path`, of the same `task`, as the teacher of a network with `input_shape` on
    `source`.

    Raises ReskerasError for another task, input or set of classes. The names of classes decide their order, except in a
    port that has none.
    """
    try:
        run: Run[Split] = find_task(task).run_type()(path)
        weights = read(run.model())
    except ReskerasError as error:
        raise ReskerasError(f"teacher: {str(error).removeprefix('run: ')}", error.status) from error
    theirs, ours = ("x".join(map(str, shape)) for shape in (run.plan.input_shape, input_shape))
    if theirs != ours:
        raise ReskerasError(
            f"teacher: {path} takes images of {theirs}, but the network to train takes {ours}; "
            "give both the same --input-shape"
        )
    return Teacher(run.plan, weights, run.preprocessing(), _places(run, source))


def _places(run: Run[Split], source: Source[Split]) -> list[int]:
    """The place of each class of `source` among those of the teacher."""
    classes = run.folder.classes()
    unnamed = "ported" in run.folder.provenance() and classes == numbered(len(classes))
    places = {folded(name): index for index, name in enumerate(source.classes if unnamed else classes)}
    ours = [folded(name) for name in source.classes]
    if len(classes) != len(ours):
        raise ReskerasError(f"teacher: {run.path} has {len(classes)} classes, but {source.name} has {len(ours)}")
    if strange := [name for name in ours if name not in places]:
        raise ReskerasError(
            f"teacher: {run.path} has no class {strange[0]!r}, which {source.name} has; its classes must be the same"
        )
    return [places[name] for name in ours]
