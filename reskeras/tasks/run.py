"""A trained run of any task: its model, its data split as in training, and the material of its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, cast

from reskeras.addresses import named
from reskeras.artefacts import THREADS, TURNS
from reskeras.caller_state import preserved
from reskeras.data.given import in_memory
from reskeras.data.kept import Known, as_others, as_trained, division_of, given_again, is_own, is_same, kept_name
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.registry import Data
from reskeras.data.source import AnySplit, Source
from reskeras.errors import ReskerasError, unknown
from reskeras.export.proof import Proof
from reskeras.export.proofs_file import read_proofs, write_proofs
from reskeras.export.runtimes import has_runtime
from reskeras.export.speed import MOST_THREADS, MOST_TURNS
from reskeras.graph.load import load_model
from reskeras.recipes.recipe import Recipe
from reskeras.runs import RunFolder, numbered, open_run
from reskeras.tasks.task import find_task, other_task

if TYPE_CHECKING:  # reskeras.engine imports it first, quietly
    import keras

    from reskeras.export.exporter import Exporter


@dataclass(frozen=True)
class Material:
    """What a report needs of a run; `evaluation` and `test` are None where its images are unavailable: see `missing`.

    `plan` is the task's lowered spec, `evaluation` the result of the task's evaluation.
    """

    name: str
    path: str
    plan: Any
    classes: tuple[str, ...]
    metrics: Sequence[Mapping[str, Any]]
    provenance: Mapping[str, Any]
    preprocessing: Preprocessing
    proofs: Sequence[Proof] = ()
    evaluation: Any = None
    test: Any = None
    missing: str = ""
    source: Source | None = None
    recipe: Recipe | None = None


def seeds_of(runs: Sequence[Material]) -> dict[str, str]:
    """The common name of those runs that differ in their seeds only: equal plans, recipes, and training images."""
    groups: dict[tuple[int, str, str], list[Material]] = {}
    plans: list[Any] = []
    for run in runs:
        if run.recipe is None:
            continue
        plans += [] if run.plan in plans else [run.plan]
        recipe = run.recipe.model_copy(update={"seed": 0}).model_dump_json()
        data = {name: value for name, value in run.provenance.get("data", {}).items() if name != "data_dir"}
        groups.setdefault((plans.index(run.plan), recipe, repr(data)), []).append(run)
    return {
        run.name: f"{group[0].name} and {len(group) - 1} more"
        for group in groups.values()
        if len({run.recipe.seed for run in group if run.recipe}) == len(group) > 1
        for run in group
    }


class Run(Generic[AnySplit]):
    """A trained run and what can be done with it; `Run(path)` gives an instance of the subclass of the run's task.

    Subclasses implement `judge`; `AnySplit` is the kind of split that the task's sources have.
    `given` is the data that has no name to open it by, of a run that was trained just now. `beside` are the runs that a
    suite measures it with, by what they are to it.
    """

    task: ClassVar[str]
    multi_label: ClassVar[bool] = False  # whether images may be of several classes
    given: Source[AnySplit] | None = None
    beside: Mapping[str, Sequence[Run]] = {}

    def __new__(cls, path: str | Path) -> Self:
        """An instance of the class for the folder's task, if that is a subclass: of a multi-label run for a
        classifier's."""
        own = find_task(open_run(path).task).run_type()
        return super().__new__(cast(type[Self], own) if issubclass(own, cls) else cls)

    def __init__(self, path: str | Path):
        self.folder: RunFolder = open_run(path)
        if self.folder.task != self.task:
            raise other_task(path, self.folder.task, self.task)

    @classmethod
    def named_by(cls, field: str, path: str | Path) -> Self:
        """The run at `path`, which `field` names: so does the ReskerasError where it is none of this task."""
        try:
            return cls(path)
        except ReskerasError as error:
            raise ReskerasError(f"{field}: {str(error).removeprefix('run: ')}", error.status) from error

    @classmethod
    def elsewhere(cls, path: Path) -> Self:
        """A run that may be on the chief's machine only: its folder is read when it is used."""
        run = super().__new__(cls)
        run.folder = RunFolder(path)
        return run

    def __repr__(self) -> str:
        name = type(self).__name__.removeprefix("Classifier")  # `reskeras.Run` opens it again
        return named(f"{name}({str(self.path)!r})")

    @property
    def path(self) -> Path:
        """The run folder; of a remote run, its copy on this machine."""
        return self.folder.path

    @property
    def name(self) -> str:
        """The name of what was trained."""
        return find_task(self.task).name_of(self.folder.spec())

    @property
    def plan(self) -> Any:
        """The lowered spec; it has an `input_shape`."""
        return find_task(self.task).plan(self.folder.spec())

    @preserved()
    def model(self) -> keras.Model:
        """The best model, float32."""
        return load_model(self.folder.model_file)

    def preprocessing(self) -> Preprocessing:
        """How images become this model's input."""
        return Preprocessing.load(self.folder.preprocessing_file, self.plan.input_shape)

    def source(self, data: Data | None = None, data_dir: str | Path | None = None) -> Source[AnySplit]:
        """The data that the run was trained on, split as it was then; or other `data`, opened for testing: all of it
        where it has no test split of its own, its classes matched to the run's by name.

        Data without a name has to be given again, and is recognised by its fingerprint.
        """
        self.folder.preprocessing_file  # noqa: B018 - raises for a run that was only built
        known, classes = self.folder.provenance().get("data", {}), self.folder.classes()
        if data is None and not known:
            raise ReskerasError(f"data: {self.path} was ported and has no data; give --data")
        if data is None and known.get("given"):
            data = self.given
            if data is None:
                raise given_again(self.path, known)
        opened = find_task(self.task).open_source
        if not (data is None or isinstance(data, str)):
            data = (
                data if isinstance(data, Source) else in_memory(data, multi_label=self.multi_label).numbered_by(classes)
            )
            if own := self._recognised(data, known):
                return as_trained(replace(own, name=known["name"]), known, classes, self.folder.data_file)
        elif data is None or is_own(data, known):
            source = opened(kept_name(known), data_dir or known.get("data_dir"), division=division_of(known))
            return as_trained(replace(source, name=known["name"]), known, classes, self.folder.data_file)
        unnamed = not known and classes == numbered(len(classes))
        source = opened(data, data_dir, testing=() if unnamed else classes)
        if known.get("given") and source.given:
            source = as_others(source, known, self.folder.data_file)
        if unnamed and len(source.classes) != len(classes):
            raise ReskerasError(
                f"data: {source.name} has {len(source.classes)} classes, but {self.path} has {len(classes)} "
                "without names"
            )
        return source

    def _recognised(self, data: Data, known: Known) -> Source[AnySplit] | None:
        """`data` opened as the run's training did, if it is the same."""
        with suppress(ReskerasError):  # what may be tested on need not be enough to train on
            source = find_task(self.task).open_source(data, division=division_of(known))
            if is_same(source, known, self.folder.data_file):
                return source
        return None

    def images(self, source: Source[AnySplit], split: str, tell: Callable[[str], None] = lambda note: None) -> AnySplit:
        """The images of a split (`test` or `train`); `tell` gets the notes about them."""
        images = source.training_images("split") if split == "train" else source.test
        for note in source.notes:
            tell(note)
        return images

    @preserved()
    def evaluate(
        self,
        data: Data | None = None,
        data_dir: str | Path | None = None,
        split: str = "test",
        *,
        tell: Callable[..., None] = lambda note: None,
    ) -> Any:
        """How good the best model is on a split (`test` or `train`); `tell` gets the notes about the images, or the
        progress in tasks whose `evaluate` reports it.

        The result has `as_dict()`, plain data for JSON.
        """
        source = self.source(data, data_dir)
        return self.judge(source, self.images(source, split, tell))

    def judge(self, source: Source[AnySplit], images: AnySplit) -> Any:
        """How good the best model is on `images` of `source`, evaluated with default options."""
        raise NotImplementedError

    def proofs(self) -> list[Proof]:
        """The latest proof of each artefact in the run's export folder; those of an older model are `stale`."""
        return read_proofs(self.folder.export_folder, self.folder.digest())

    def latest_proofs(self) -> list[Proof]:
        """Of each kind the proof of the latest artefact that holds, and of the latest that does not."""
        return list({(proof.kind, proof.holds): proof for proof in self.proofs()}.values())

    @preserved()
    def benchmark(
        self,
        *kinds: str,
        data: Data | None = None,
        data_dir: str | Path | None = None,
        threads: int = THREADS,
        turns: int = TURNS,
        tell: Callable[[str], None] = lambda note: None,
    ) -> list[Proof]:
        """The proofs of the artefacts in the export folder that hold, or of those of `kinds`, with their speeds on this
        machine: measured now in processes of their own, `turns` times each, by `threads` threads, one artefact after
        the other. The proofs, table, plot and card in the folder get the new figures.

        `data` has the images, by default the run's. `tell` gets notes of what begins.
        """
        from reskeras.tasks.cards import carded

        for name, value, most in (("threads", threads, MOST_THREADS), ("turns", turns, MOST_TURNS)):
            if not 1 <= value <= most:
                raise ReskerasError(f"{name}: {value} is out of range; use 1 to {most}")
        proofs = self._runnable(kinds)
        with carded(self, tell):
            proofs = self.verifier(data, data_dir).timed(proofs, threads, turns, tell)
            write_proofs(self.folder.export_folder, proofs, self.folder.digest())
        return proofs

    def _runnable(self, kinds: Sequence[str]) -> list[Proof]:
        """The proof of the latest artefact of each kind, or of `kinds`, that holds and that a runtime opens;
        ReskerasError (status 2) where there is none."""
        task = find_task(self.task)
        known = {proof.kind: proof for proof in self.latest_proofs() if proof.holds and has_runtime(Path(proof.path))}
        if not known:
            how = " ".join(task.words("export"))
            raise ReskerasError(f"run: {self.path} has no artefact to measure; make one with: {how} {self.path}")
        for kind in kinds:
            if kind not in known:
                raise unknown("to", kind, known)
        return [known[kind] for kind in kinds or known]

    def verifier(self, data: Data | None, data_dir: str | Path | None) -> Exporter:
        """The exporter of the best model, with images to ask artefacts about."""
        raise NotImplementedError

    @preserved()
    def material(self, label: str | None = None, data_dir: str | Path | None = None) -> Material:
        """The material of a report: what is stored in the run folder, and an evaluation of the best model."""
        folder, evaluation, test, source, missing = self.folder, None, None, None, ""
        try:
            source = self.source(data_dir=data_dir)
            test = source.test
            evaluation = self.judge(source, test)
        except ReskerasError as error:
            missing = str(error)
        return Material(
            label or self.name,
            str(self.path),
            self.plan,
            tuple(folder.classes()),
            folder.metrics(),
            folder.provenance(),
            self.preprocessing(),
            self.proofs(),
            evaluation,
            test,
            missing,
            source,
            folder.recipe() if folder.is_trained else None,
        )
