"""Task protocol: what every command needs to know about a kind of training; and the registry of tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar

from reskeras.errors import ReskerasError, unknown
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.any_spec import AnySpec
from reskeras.readers import usages
from reskeras.recipes.recipe import Recipe

if TYPE_CHECKING:  # a task is looked up without TensorFlow
    from reskeras.data.preprocessing import Preprocessing
    from reskeras.data.source import Source
    from reskeras.porting.foreign_model import ForeignModel
    from reskeras.porting.port import Port
    from reskeras.porting.recognise import Recognised
    from reskeras.report.card_results import CardResults
    from reskeras.report.sections import Page, Table
    from reskeras.tasks.run import Material, Run
    from reskeras.training.job import Job
    from reskeras.training.transfer import Start

# imported on first use: training a classifier does not import the detection code
TASKS = {
    "classification": "reskeras.tasks.classification.task:ClassificationTask",
    "multilabel": "reskeras.tasks.multilabel.task:MultiLabelTask",
    "detection": "reskeras.tasks.detection.task:DetectionTask",
    "localisation": "reskeras.tasks.localisation.task:LocalisationTask",
    "refinement": "reskeras.tasks.refinement.task:RefinementTask",
}


class Task(ABC):
    """One kind of training. A task is a package with a Task, a Job, a Subject and a Run.

    `noun` is what its models are called, `program` the command-line words before `train`, `evaluate` and so on,
    `annotation` what its sources annotate in each image (a key of readers.py), `recipe` its default recipe, `figure`
    the one that tells of two trainings which is better, among those of each epoch, `measures` what finished runs are
    compared by (keys of experiments.measures). For model cards: `pipeline` is the Hugging Face hub's name of the task,
    `usage` lines of Python that use a `run`, `caveats` what holds of all its models.
    """

    name: ClassVar[str]
    noun: ClassVar[str]
    program: ClassVar[tuple[str, ...]] = ("reskeras",)
    annotation: ClassVar[str]
    recipe: ClassVar[str] = "quick"
    measures: ClassVar[tuple[str, ...]] = ()
    figure: ClassVar[str] = "val_loss"
    pipeline: ClassVar[str] = ""
    usage: ClassVar[tuple[str, ...]] = ()
    caveats: ClassVar[tuple[str, ...]] = ()

    def words(self, command: str) -> list[str]:
        """The words of one of its command lines: `reskeras`, `export`."""
        return [*self.program, command]

    @abstractmethod
    def spec(self, source: Any = None, *, settings: tuple[str, ...] = (), **fields: Any) -> AnySpec:
        """The sparse spec that `source` names, with `settings` and `fields` laid over it; see `networks.request`."""

    def plan(self, spec: Any) -> Any:
        """The lowered `spec`: it has an `input_shape` and a `complexity()`. ReskerasError for contradictions."""
        return spec.lower()

    def network(self, spec: Any) -> AnyNetwork:
        """The network of `spec`: itself, or the one that it is built on."""
        return spec

    @abstractmethod
    def name_of(self, spec: Any) -> str:
        """The name of what `spec` describes."""

    def describe_pixels(self, spec: Any, preprocessing: Preprocessing) -> str:
        """How images become the input of `spec`, in one line."""
        return preprocessing.describe()

    def open_source(self, data: Any, data_dir: str | Path | None = None, **purpose: Any) -> Source:
        """The source called `data`, with TFDS sets in `data_dir`; `purpose` are fields of `data.purpose.Purpose`.

        A task may take other `data` than a name; by default that is a ReskerasError (status 2).
        """
        from reskeras.data.purpose import Purpose
        from reskeras.data.registry import opened

        if not isinstance(data, str):
            raise ReskerasError(f"data: a {self.noun} is trained on a source with a name: {usages(self.annotation)}")
        return opened(data, self.annotation, Purpose(data_dir, **purpose))

    def on(self, source: Source) -> Task:
        """The task that trains on `source`: this one, unless the labels there are for another of its kind."""
        return self

    @abstractmethod
    def job(self, spec: Any, recipe: Recipe, source: Source, data_dir: str | Path | None) -> Job:
        """The training job of `spec` on `source` by `recipe`."""

    @abstractmethod
    def run_type(self) -> type[Run]:
        """The class of its runs."""

    @abstractmethod
    def page(self, runs: Sequence[Any]) -> Page:
        """A report on one run or several, each as the Material that its `material()` gives."""

    def card_results(self, run: Material) -> CardResults:
        """The figures of a run's evaluation for its model card."""
        from reskeras.report.card_results import plain_results

        return plain_results(run.evaluation.as_dict(), str(run.provenance.get("data", {}).get("label", "")))

    def tables(self, plan: Any) -> Sequence[Table]:
        """The parts of a lowered spec for its model card."""
        from reskeras.report.stage_table import stage_table

        return [stage_table({"": plan})]

    def served_batches(self) -> tuple[int, ...]:
        """Batch sizes that a server may batch concurrent requests into."""
        from reskeras.export.server_files import BATCHES

        return BATCHES

    def recipe_for(self, spec: Any) -> str:
        """The recipe that a `spec` without one of its own is trained by."""
        return self.recipe

    def beginning_recipe(self, recipe: Recipe, spec: Any, begun: Run, source: Source) -> Recipe:
        """`recipe` as used for fine-tuning `spec` on `source` from the weights of the run `begun`."""
        return recipe

    def beginning_spec(self, spec: Any, source: Source) -> AnySpec:
        """The `spec` of another run, adapted to `source` instead of the data that it was trained on."""
        from reskeras.training.fitted_network import without_data

        return without_data(spec, source)

    def port(self, source: ForeignModel, known: Recognised, spec: Any, **request: Any) -> Port:
        """Another library's `source` as our `spec`, which it is `known` as; `request` are the arguments of
        `porting.port.port`."""
        from reskeras.porting.port import port

        return port(source, known, spec, **request)

    def start(self, begun: Run) -> Start:
        """What fine-tuning takes over from another run."""
        from reskeras.graph.weights import read
        from reskeras.training.transfer import Start

        return Start(str(begun.path), read(begun.model()), begun.preprocessing())


def find_task(name: str) -> Task:
    """The task called `name`; ReskerasError (status 2) when there is none."""
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return resolve_name(TASKS[name])()


def other_task(path: str | Path, own: str, asked: str) -> ReskerasError:
    """The refusal of the run at `path`, of the task `own`, where one of the task `asked` is wanted."""
    task = find_task(own)
    return ReskerasError(
        f"run: {path} is a {task.noun}, not a {find_task(asked).noun}; see "
        f"{' '.join(task.words('evaluate'))}, predict and export"
    )
