"""A training job: a network, a recipe and opened data that fit each other, trained into a run folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

from reskeras.caller_state import preserved, set_determinism
from reskeras.data.fingerprint import fingerprint
from reskeras.data.kept import check_unchanged, division_of, identity
from reskeras.data.preprocessing import Preprocessing, packed, unpacked
from reskeras.data.sample import some_images
from reskeras.data.source import Source, Split
from reskeras.documents.document import to_yaml
from reskeras.errors import ReskerasError
from reskeras.files import only_writer, place_of, write_json, write_text
from reskeras.launch.isolation import exposed
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.any_spec import AnySpec
from reskeras.networks.catalog import name_of
from reskeras.plans.plan import Plan
from reskeras.recipes.recipe import Recipe
from reskeras.run_provenance import provenance, revision
from reskeras.runs import (
    BOOKKEEPING,
    CLASSES_FILE,
    PREPROCESSING_FILE,
    PROVENANCE_FILE,
    RECIPE_FILE,
    RunFolder,
    check_same,
    new_run,
    open_run,
)
from reskeras.training.agreement import check_agreement
from reskeras.training.fit import FitOptions, fit
from reskeras.training.fitted_network import fitted_to_data, with_drop_path
from reskeras.training.form import training_form
from reskeras.training.lengthen import asks_for_more, check_longer, lengthen
from reskeras.training.memory import check_memory, memory_failures
from reskeras.training.own_parts import NO_PARTS, OwnParts
from reskeras.training.precision import training_precision
from reskeras.training.strategy import Replicas, open_replicas
from reskeras.training.subject import Subject
from reskeras.training.transfer import Start, digest_of

EXPOSED = (
    "cluster: each worker's port is open to anyone who can reach its machine, and TensorFlow runs whatever is sent "
    "there as your user; use a firewall that admits only the workers"
)


@dataclass(frozen=True)
class Job(ABC):
    """`spec` as the user gave it, the recipe and the data. ReskerasError when they contradict each other.

    `own` are parts that are not the recipe's. `measured` keeps the preprocessing that was measured, by input size and
    kind: jobs on the same data may share it. A task implements `subject`. The default implementations are for networks
    with one logit per class of the data; other tasks override them.
    """

    spec: AnySpec
    recipe: Recipe
    source: Source
    data_dir: str | Path | None = None
    own: OwnParts = NO_PARTS
    measured: dict[Any, Preprocessing] = field(default_factory=dict, repr=False, compare=False)
    task: ClassVar[str]  # the task's name, kept in the run's provenance
    command: ClassVar[tuple[str, ...]]  # the command line that trains this kind

    @cached_property
    def fitted(self) -> AnySpec:
        """The spec with the classes and channels of the data, and the recipe's stochastic depth."""
        return fitted_to_data(with_drop_path(self._network(self.spec), self.recipe), self.source)

    def _network(self, spec: AnySpec) -> AnyNetwork:
        return cast(AnyNetwork, spec)  # a detector's job overrides what asks for this

    @cached_property
    def plan(self) -> Plan:
        """The plan of the network, checked against the recipe."""
        plan = self._network(self.fitted).lower()
        self.recipe.check(plan)
        return plan

    @property
    def computed_whole(self) -> Plan:
        """What is computed once per image, for the estimate of memory before anything is built."""
        return self.plan

    @property
    def name(self) -> str:
        """`cifar-resnet-20-digits`."""
        return f"{name_of(self._network(self.spec))}-{Path(self.source.name.replace(':', '/')).name}"

    @property
    def notes(self) -> Sequence[str]:
        """What is to be told about these data with this network, besides the notes of the data."""
        return ()

    @property
    def looks(self) -> int:
        """How often an epoch looks at a training image."""
        return 1

    def beginning(self, start: Start | None) -> Start | None:
        """What this training begins with, of the `start` that was asked for."""
        return start

    def check_start(self, start: Start | None) -> None:
        """Raise ReskerasError when a new training cannot begin with `start`."""
        if start and self.recipe.whiten:
            raise ReskerasError(
                f"whiten: {start.name} has a first convolution already, which would be lost; set whiten to null"
            )

    def preprocessing(self) -> Preprocessing:
        """How images become the network's input, measured on the training images."""
        height, width, channels = self.plan.input_shape
        how = (height, width, channels, self.recipe.normalise)
        key = (*how, *((self.recipe.images, self.recipe.seed) if self.recipe.images else ()))
        if key not in self.measured:
            self.measured[key] = Preprocessing.fit(self._used(), *how)
        return self._framed(self.measured[key])

    def _used(self) -> Split:
        """The training images that the recipe uses, before any are held out."""
        return some_images(self.source.training_images("train"), self.recipe.images, self.recipe.seed)

    def _framed(self, preprocessing: Preprocessing) -> Preprocessing:
        """`preprocessing` with the recipe's crop of test images."""
        return replace(preprocessing, framing=replace(preprocessing.framing, crop=self.recipe.test_crop))

    @preserved()
    def run(self, path: Path, replicas: Replicas | None = None, options: FitOptions = FitOptions()) -> None:
        """Train into the run folder `path`, which is created, or continued with `options.resume` if it exists.

        Of several workers only the chief reads and writes the folder, and tells the others what they need of it. Raises
        ReskerasError before anything is written when the request is invalid; later as `fit` does, or with status 1 when
        memory runs out.
        """
        replicas = replicas or open_replicas("one")
        with memory_failures(self.recipe), replicas.losses_told():
            self._train(path, replicas, options)

    def _train(self, path: Path, replicas: Replicas, options: FitOptions) -> None:
        check_agreement(replicas, lambda: self._decisive(options))
        going_on, shorter = replicas.from_chief(lambda: self._found(path, options))
        if not going_on:
            self.check_start(options.start)
        preprocessing = replicas.from_chief(
            lambda: self._preprocessing(path if going_on else None, options), packed, unpacked
        )
        if replicas.workers > 1 and replicas.is_chief and exposed():
            options.tell(EXPOSED)
        with replicas.together():
            subject = self.subject(preprocessing)
            subject.measure.check(self.recipe)
            if self.recipe.deterministic:  # a feed may compute, as a refiner's does
                set_determinism(True)
            feed = subject.feed(self.recipe, replicas)
            feed.check()
            images = min(self.recipe.step_images, feed.train.count) // replicas.workers
            if note := check_memory(self.computed_whole, self.recipe, images):
                options.tell(note)
        with ExitStack() as held:

            def opened() -> list[int]:
                if not going_on:
                    self._begin(path, preprocessing, options)
                held.enter_context(only_writer(path, "run"))
                return lengthen(RunFolder(path), shorter, self.recipe) if going_on else []

            earlier = replicas.from_chief(opened)
            options.tell(f"preprocessing: {self.describe(preprocessing)}")
            if shorter:
                options.tell(
                    f"resume: training for {self.recipe.epochs} epochs instead of {shorter}; the schedule "
                    f"({self.recipe.schedule.in_words}) does not depend on the number of epochs"
                )
            options = options.going_on(going_on, tuple(earlier))
            fit(subject, self.recipe, RunFolder(path), replicas, options, feed=feed)
            replicas.finish()

    def _found(self, path: Path, options: FitOptions) -> tuple[bool, int | None]:
        """Whether to resume the run at `path`, and its number of epochs where this job is the same with more of them;
        ReskerasError when it is another training."""
        if not options.resume or not path.exists():
            return False, None
        run = open_run(path)
        before = run.recipe()
        shorter = before if asks_for_more(before, self.recipe) else None
        self.own.check_again(path, run.provenance().get("own", {}))
        check_same(path, self.fitted, shorter or self.recipe, self.source.name)
        if shorter:
            check_longer(path, shorter.epochs, self.recipe, None if self.source.given else self._command())
        if run.provenance().get("teacher_sha256") != self.teacher_digest:
            raise ReskerasError(
                f"teacher: {self.recipe.teacher} is not the network that {path} began to learn from: its weights have "
                "changed; restore it, or start a new training with another --out"
            )
        if note := check_unchanged(path, run.provenance().get("data", {}), run.data_file, self.source):
            options.tell(note)
        return True, shorter.epochs if shorter else None

    def _preprocessing(self, path: Path | None, options: FitOptions) -> Preprocessing:
        """That of the run to resume at `path`, of the run to start from, or measured."""
        if path:
            return Preprocessing.load(RunFolder(path).preprocessing_file, self.plan.input_shape)
        return self._framed(options.start.fitted_preprocessing(self.plan)) if options.start else self.preprocessing()

    def _command(self) -> list[object]:
        folder = ["--data-dir", self.data_dir] if self.data_dir else []
        return [*self.command, "--data", self.source.name, *folder]

    @property
    def teacher_digest(self) -> str | None:
        """What identifies the network that is learnt from besides the data; None where there is none."""
        return None

    @abstractmethod
    def subject(self, preprocessing: Preprocessing) -> Subject:
        """The subject to fit."""

    def describe(self, preprocessing: Preprocessing) -> str:
        """How images become the network's input, in one line."""
        return preprocessing.describe()

    def _begin(self, path: Path, preprocessing: Preprocessing, options: FitOptions) -> None:
        facts: dict[str, Any] = {"begun_from": options.start.name} if options.start else {}
        facts |= {"own": own} if (own := self.own.described()) else {}
        if self.teacher_digest:
            facts |= {"teacher": self.recipe.teacher, "teacher_sha256": self.teacher_digest}
        with new_run(path, self.spec, self.fitted) as run:
            write_text(run.path / RECIPE_FILE, to_yaml(self.recipe.sparse()))
            write_text(run.path / CLASSES_FILE, "\n".join(self.source.classes) + "\n")
            preprocessing.save(run.path / PREPROCESSING_FILE)
            kept, found = identity(self.source)
            found.save(run.data_file)
            made = provenance(
                task=self.task,
                seed=self.recipe.seed,
                data=self._data_facts() | kept,
                preprocessing=self.describe(preprocessing),
                **facts,
            )
            write_json(run.path / PROVENANCE_FILE, made)

    def _decisive(self, options: FitOptions) -> dict[str, Any]:
        """Everything that determines the result: it must be the same on every worker."""
        recipe, source = self.recipe, self.source
        return {
            "network": self.fitted.whole(),
            "form": training_form(self.plan, recipe),
            "recipe": recipe.model_dump(mode="json", exclude={*BOOKKEEPING}),
            "computation precision": training_precision(recipe.precision),
            "classes": list(source.classes),
            "data": {"channels": source.channels, "division": source.division} | fingerprint(source).facts,
            "starting weights": digest_of(options.start.weights) if options.start else None,
            "teacher": self.teacher_digest,
            "own parts": self.own.described(),
            "git revision": revision(),
        }

    def _data_facts(self) -> dict[str, Any]:
        source, folder = self.source, self.data_dir
        return {
            "name": source.name,
            "label": source.label,
            "data_dir": str(place_of(folder, "data_dir").absolute()) if folder else None,
            **{name: split.count for name, split in source.splits().items()},
            "notes": list(source.notes),
        }


def begun_division(path: Path) -> int | None:
    """The version of the splitting rule of the run at `path`; None where there is no run."""
    return division_of(RunFolder(path).provenance().get("data", {})) if path.exists() else None
