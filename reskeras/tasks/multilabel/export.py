"""Export of a multi-label classifier: as a classifier's, with the sigmoid of each logit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from reskeras.evaluation.heads import SIGMOID, Head
from reskeras.export.proof import Proof, prove_labels
from reskeras.tasks.classification.export import ClassifierExporter


@dataclass(frozen=True)
class MultiLabelExporter(ClassifierExporter):
    """Exports a multi-label classifier and verifies each artefact on real images, by the labels that it gives."""

    task: ClassVar[str] = "multilabel"
    head: ClassVar[Head] = SIGMOID
    proved: ClassVar[Callable[..., Proof]] = staticmethod(prove_labels)
