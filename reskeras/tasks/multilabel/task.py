"""The multi-label task: classifiers of images that are of any number of classes each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from reskeras.networks.any_network import AnyNetwork
from reskeras.recipes.recipe import Recipe
from reskeras.tasks.classification.task import ClassificationTask
from reskeras.tasks.task import Task

if TYPE_CHECKING:
    from reskeras.data.source import Source, Split
    from reskeras.report.card_results import CardResults
    from reskeras.report.sections import Page
    from reskeras.tasks.classification.page import ClassifierMaterial
    from reskeras.tasks.multilabel.job import MultiLabelJob
    from reskeras.tasks.multilabel.run import MultiLabelRun
    from reskeras.tasks.run import Material


class MultiLabelTask(ClassificationTask):
    """Multi-label classification."""

    name: ClassVar[str] = "multilabel"
    noun: ClassVar[str] = "multi-label classifier"
    measures: ClassVar[tuple[str, ...]] = ("average_precision", "f1")
    figure: ClassVar[str] = "val_average_precision"
    caveats: ClassVar[tuple[str, ...]] = (
        "Precision, recall and F1 are at a probability of 1/2; another threshold may suit a use better.",
        "Its probabilities have not been calibrated: they are not how often it is right.",
    )

    def on(self, source: Source[Split]) -> Task:
        """This task, whose job refuses images of one class each."""
        return self

    def job(
        self, spec: AnyNetwork, recipe: Recipe, source: Source[Split], data_dir: str | Path | None
    ) -> MultiLabelJob:
        """The training job of a multi-label classifier."""
        from reskeras.tasks.multilabel.job import MultiLabelJob

        return MultiLabelJob(spec, recipe, source, data_dir)

    def run_type(self) -> type[MultiLabelRun]:
        """The class of its runs."""
        from reskeras.tasks.multilabel.run import MultiLabelRun

        return MultiLabelRun

    def page(self, runs: Sequence[ClassifierMaterial]) -> Page:
        """Average precision, analysis, figures of each class, worst mistakes."""
        from reskeras.tasks.multilabel.page import page_of

        return page_of(runs)

    def card_results(self, run: Material) -> CardResults:
        """Average precision and F1, of all labels and by class."""
        from reskeras.tasks.multilabel.card import label_results

        return label_results(run.evaluation)
