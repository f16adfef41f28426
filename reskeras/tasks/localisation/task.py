"""The localisation task: per-class proposal networks on images with annotated objects (v1 appendix C)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from reskeras.networks.localiser import LocaliserSpec
from reskeras.networks.localiser_plan import LocaliserPlan, lower_localiser
from reskeras.networks.request import localiser
from reskeras.recipes.recipe import Recipe
from reskeras.tasks.detection.object_task import ObjectTask

if TYPE_CHECKING:
    from reskeras.data.source import Source
    from reskeras.report.card_results import CardResults
    from reskeras.report.sections import Page
    from reskeras.tasks.detection.objects import Objects
    from reskeras.tasks.localisation.job import LocaliserJob
    from reskeras.tasks.localisation.run import LocaliserRun
    from reskeras.tasks.run import Material


class LocalisationTask(ObjectTask):
    """Localisation of one object of a given class."""

    name: ClassVar[str] = "localisation"
    noun: ClassVar[str] = "localiser"
    fresh: ClassVar[tuple[str, ...]] = ("rpn_pre_bn", "rpn_conv", "objectness", "anchor_deltas")
    program: ClassVar[tuple[str, ...]] = ("reskeras", "localise")
    recipe: ClassVar[str] = "localiser"
    figure: ClassVar[str] = "val_localised"
    measures: ClassVar[tuple[str, ...]] = ("localisation_error",)
    usage: ClassVar[tuple[str, ...]] = (
        'for image in run.predict("image.jpg"):  # boxes are top, left, bottom, right in pixels',
        "    print(image.path, image.detections)",
    )
    caveats: ClassVar[tuple[str, ...]] = (
        "It gives one box for each class that it is given: it does not say whether the image shows that class at all.",
    )

    def spec(self, source: Any = None, *, settings: tuple[str, ...] = (), **fields: Any) -> LocaliserSpec:
        """The spec of a localiser, from a localiser or from a network as its trunk."""
        return localiser(source, settings=settings, **fields)

    def plan(self, spec: LocaliserSpec) -> LocaliserPlan:
        """The plans of the localiser's parts."""
        return lower_localiser(spec)

    def job(
        self, spec: LocaliserSpec, recipe: Recipe, source: Source[Objects], data_dir: str | Path | None
    ) -> LocaliserJob:
        """The training job of a localiser."""
        from reskeras.tasks.localisation.job import LocaliserJob

        return LocaliserJob(spec, recipe, source, data_dir)

    def run_type(self) -> type[LocaliserRun]:
        """The class of localiser runs."""
        from reskeras.tasks.localisation.run import LocaliserRun

        return LocaliserRun

    def page(self, runs: Sequence[Material]) -> Page:
        """Errors, losses, pictures."""
        from reskeras.tasks.localisation.page import page_of_localisers

        return page_of_localisers(runs)

    def card_results(self, run: Material) -> CardResults:
        """The error and the mean IoU, of all images and by class."""
        from reskeras.tasks.localisation.card import localiser_results

        return localiser_results(run.evaluation, run.test)
