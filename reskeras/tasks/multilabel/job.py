"""The training job of a multi-label classifier."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.networks.catalog import name_of
from reskeras.plans.plan import Plan
from reskeras.recipes.loss import AUTO, LOSSES
from reskeras.tasks.classification.job import ClassifierJob
from reskeras.tasks.multilabel.subject import MultiLabelClassifier


@dataclass(frozen=True)
class MultiLabelJob(ClassifierJob):
    """Trains a classification network on images of any number of classes each, by a loss of each class."""

    task: ClassVar[str] = "multilabel"
    multi_label: ClassVar[bool] = True

    @cached_property
    def plan(self) -> Plan:
        """The plan of the network, checked against the recipe, its loss among it."""
        loss = self.recipe.loss
        if not loss.each_class and loss != AUTO:
            usable = " or ".join(kind for kind, spec in LOSSES.items() if spec.each_class)
            raise ReskerasError(
                f"loss: {loss.kind!r} is for one class per image, but {self.source.name} has several; use {usable}"
            )
        return super().plan

    def subject(self, preprocessing: Preprocessing) -> MultiLabelClassifier:
        """The classifier to fit."""
        return MultiLabelClassifier(
            self.plan, name_of(self.spec), self.source, preprocessing, self.teacher, own=self.own
        )
