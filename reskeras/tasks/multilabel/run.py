"""A trained multi-label classifier's run, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable
from sys import maxsize
from typing import TYPE_CHECKING, Any, ClassVar

from reskeras.evaluation.heads import SIGMOID, Head
from reskeras.evaluation.multilabel import THRESHOLD, evaluate_labels
from reskeras.tasks.classification.run import ClassifierRun

if TYPE_CHECKING:
    from reskeras.tasks.classification.export import ClassifierExporter


class MultiLabelRun(ClassifierRun):
    """A trained multi-label classifier: `evaluate` gives a LabelEvaluation, probabilities are independent."""

    task: ClassVar[str] = "multilabel"
    multi_label: ClassVar[bool] = True
    head: ClassVar[Head] = SIGMOID
    threshold: ClassVar[float] = THRESHOLD
    top: ClassVar[int] = maxsize
    measured: ClassVar[Callable[..., Any]] = staticmethod(evaluate_labels)

    def exporter(self) -> type[ClassifierExporter]:
        """What exports it."""
        from reskeras.tasks.multilabel.export import MultiLabelExporter

        return MultiLabelExporter
