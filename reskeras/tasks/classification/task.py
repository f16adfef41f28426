"""The classification task: image classifiers, labelled images, accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.catalog import name_of
from reskeras.networks.request import network
from reskeras.readers import CLASSES
from reskeras.recipes.recipe import Recipe
from reskeras.recipes.recipe import recipe as read_recipe
from reskeras.tasks.task import Task, find_task

if TYPE_CHECKING:
    from reskeras.data.source import Source, Split
    from reskeras.report.card_results import CardResults
    from reskeras.report.sections import Page
    from reskeras.tasks.classification.job import ClassifierJob
    from reskeras.tasks.classification.page import ClassifierMaterial
    from reskeras.tasks.classification.run import ClassifierRun
    from reskeras.tasks.run import Material, Run


class ClassificationTask(Task):
    """Image classification."""

    name: ClassVar[str] = "classification"
    noun: ClassVar[str] = "classifier"
    annotation: ClassVar[str] = CLASSES
    measures: ClassVar[tuple[str, ...]] = ("test_error", "training_error")
    figure: ClassVar[str] = "val_accuracy"
    pipeline: ClassVar[str] = "image-classification"
    usage: ClassVar[tuple[str, ...]] = ('for image in run.predict("image.jpg"):', "    print(image.path, image.top)")
    caveats: ClassVar[tuple[str, ...]] = (
        "It names one of its classes for every image, also for one that shows none of them.",
        "Its probabilities have not been calibrated: they are not how often it is right.",
    )

    def spec(self, source: Any = None, *, settings: tuple[str, ...] = (), **fields: Any) -> AnyNetwork:
        """The spec of a network."""
        return network(source, settings=settings, **fields)

    def name_of(self, spec: AnyNetwork) -> str:
        """`cifar-resnet-20`."""
        return name_of(spec)

    def recipe_for(self, spec: AnyNetwork) -> str:
        """That for integers where the network is of these."""
        return "quantise" if spec.quantise else self.recipe

    def beginning_recipe(self, recipe: Recipe, spec: AnyNetwork, begun: Run, source: Source[Split]) -> Recipe:
        """`recipe` by which a network of integers learns from the one in floating point that it begins from, as much as
        from the labels, unless it says from whom, or the classes are others."""
        learns = spec.quantise and begun.task == self.name and not getattr(begun.folder.spec(), "quantise", None)
        if not learns or "teacher" in recipe.model_fields_set or set(begun.folder.classes()) != set(source.classes):
            return recipe
        how = {} if "distillation" in recipe.model_fields_set else {"distillation": {"share": 0.5}}
        return read_recipe(recipe, teacher=str(begun.path), **how)

    def open_source(self, data: Any, data_dir: str | Path | None = None, **purpose: Any) -> Source[Split]:
        """As `data.registry.open_source`."""
        from reskeras.data.registry import open_source

        return open_source(data, data_dir, **purpose)

    def on(self, source: Source[Split]) -> Task:
        """Multi-label classification where images are of any number of classes."""
        return find_task("multilabel") if source.multi_label else self

    def job(
        self, spec: AnyNetwork, recipe: Recipe, source: Source[Split], data_dir: str | Path | None
    ) -> ClassifierJob:
        """The training job of a classifier."""
        from reskeras.tasks.classification.job import ClassifierJob

        return ClassifierJob(spec, recipe, source, data_dir)

    def run_type(self) -> type[ClassifierRun]:
        """The class of classifier runs."""
        from reskeras.tasks.classification.run import ClassifierRun

        return ClassifierRun

    def page(self, runs: Sequence[ClassifierMaterial]) -> Page:
        """Errors, analysis, confusion matrix, worst mistakes."""
        from reskeras.tasks.classification.page import page_of

        return page_of(runs)

    def card_results(self, run: Material) -> CardResults:
        """Accuracy, of all images and by class."""
        from reskeras.tasks.classification.card import classifier_results

        return classifier_results(run.evaluation)
