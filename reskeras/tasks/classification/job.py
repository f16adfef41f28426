"""The training job of a classifier."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, cast

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Source, Split
from reskeras.errors import ReskerasError
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.catalog import name_of
from reskeras.plans.plan import Plan
from reskeras.recipes.sizes import check_sizes
from reskeras.tasks.classification.subject import Classifier
from reskeras.tasks.classification.teacher import open_teacher
from reskeras.tasks.task import find_task
from reskeras.training.distillation import Teacher
from reskeras.training.integers import check_integers, integer_start
from reskeras.training.job import Job
from reskeras.training.losses import check_targets
from reskeras.training.transfer import Start


@dataclass(frozen=True)
class ClassifierJob(Job):
    """Trains a classification network on labelled images by a recipe."""

    spec: AnyNetwork
    source: Source[Split]
    task: ClassVar[str] = "classification"
    command: ClassVar[tuple[str, ...]] = ("reskeras", "train")
    multi_label: ClassVar[bool] = False

    @cached_property
    def plan(self) -> Plan:
        """The plan of the network, checked against the recipe and the teacher."""
        if self.source.multi_label != self.multi_label:
            kinds = ["one class per image", "several classes per image"]
            has, needs = kinds[self.source.multi_label], kinds[self.multi_label]
            raise ReskerasError(f"data: {self.source.name} has {has}, but a {find_task(self.task).noun} needs {needs}")
        plan = super().plan
        check_integers(self.spec, self.recipe)
        check_targets(self.recipe, 2 if self.multi_label else len(self.source.classes))
        self.teacher  # noqa: B018 - refuses what does not fit before anything is read or written
        return plan

    def beginning(self, start: Start | None) -> Start | None:
        """The weights of a run in their integer form, where the network is of integers."""
        return integer_start(start, cast(AnyNetwork, self.fitted), self.recipe)

    def check_start(self, start: Start | None) -> None:
        """As for any job; a network of integers begins with a run's weights."""
        super().check_start(start)
        if start is None:
            self.spec.check_fresh()

    @cached_property
    def teacher(self) -> Teacher | None:
        """The network that is learnt from besides the labels."""
        path = self.recipe.teacher
        if path is None:
            return None
        teacher = open_teacher(path, self.task, self.plan.input_shape, self.source)
        try:
            check_sizes(self.recipe.sizes, teacher.plan)
        except ReskerasError as error:
            raise ReskerasError(f"teacher: {path}: {error}") from error
        return teacher

    @property
    def teacher_digest(self) -> str | None:
        """That of the teacher's weights."""
        return self.teacher.digest if self.teacher else None

    def subject(self, preprocessing: Preprocessing) -> Classifier:
        """The classifier to fit."""
        return Classifier(self.plan, name_of(self.spec), self.source, preprocessing, self.teacher, own=self.own)
