"""A classifier's training: the job that does it into a run folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Source, Split
from reskeras.spec.any_network import AnyNetwork
from reskeras.spec.catalog import name_of
from reskeras.tasks.classification.subject import Classifier
from reskeras.training.job import Job


@dataclass(frozen=True)
class ClassifierJob(Job):
    """A network of classes, the recipe and classified images."""

    spec: AnyNetwork
    source: Source[Split]
    task: ClassVar[str] = "classification"
    command: ClassVar[tuple[str, ...]] = ("reskeras", "train")

    def subject(self, preprocessing: Preprocessing) -> Classifier:
        """What is trained."""
        return Classifier(self.plan, name_of(self.spec), self.source, preprocessing)
