"""The training job of a classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Source, Split
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.catalog import name_of
from reskeras.tasks.classification.subject import Classifier
from reskeras.training.job import Job


@dataclass(frozen=True)
class ClassifierJob(Job):
    """Trains a classification network on labelled images by a recipe."""

    spec: AnyNetwork
    source: Source[Split]
    task: ClassVar[str] = "classification"
    command: ClassVar[tuple[str, ...]] = ("reskeras", "train")

    def subject(self, preprocessing: Preprocessing) -> Classifier:
        """The classifier to fit."""
        return Classifier(self.plan, name_of(self.spec), self.source, preprocessing)
