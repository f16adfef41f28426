"""The refinement task: a localiser's best boxes judged one by one (v1 appendix C)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from reskeras.networks.refiner import RefinerSpec
from reskeras.networks.refiner_plan import RefinerPlan, lower_refiner
from reskeras.networks.request import refiner
from reskeras.recipes.recipe import Recipe
from reskeras.tasks.detection.object_task import ObjectTask

if TYPE_CHECKING:
    from reskeras.data.source import Source
    from reskeras.report.card_results import CardResults
    from reskeras.report.sections import Page
    from reskeras.tasks.detection.objects import Objects
    from reskeras.tasks.refinement.job import RefinerJob
    from reskeras.tasks.refinement.run import RefinerRun
    from reskeras.tasks.run import Material


class RefinementTask(ObjectTask):
    """Refinement of a localiser's boxes."""

    name: ClassVar[str] = "refinement"
    noun: ClassVar[str] = "refiner"
    fresh: ClassVar[tuple[str, ...]] = ("objectness", "box_deltas")
    program: ClassVar[tuple[str, ...]] = ("reskeras", "localise")
    recipe: ClassVar[str] = "refiner"
    figure: ClassVar[str] = "val_localised"
    measures: ClassVar[tuple[str, ...]] = ("localisation_error",)
    usage: ClassVar[tuple[str, ...]] = (
        "localiser = run.localiser()  # whose boxes it judges",
        'for image in localiser.predict("image.jpg", refiner=run):  # boxes are top, left, bottom, right in pixels',
        "    print(image.path, image.detections)",
    )
    caveats: ClassVar[tuple[str, ...]] = (
        "It judges the boxes of the localiser that it was trained with: the figures are of both; it needs that run.",
    )

    def words(self, command: str) -> list[str]:
        """As any task, but it is trained by `reskeras localise refine`."""
        return super().words("refine" if command == "train" else command)

    def spec(self, source: Any = None, *, settings: tuple[str, ...] = (), **fields: Any) -> RefinerSpec:
        """The spec of a refiner, from a refiner or from a network as its judge."""
        return refiner(source, settings=settings, **fields)

    def plan(self, spec: RefinerSpec) -> RefinerPlan:
        """The plans of the refiner's parts."""
        return lower_refiner(spec)

    def job(
        self, spec: RefinerSpec, recipe: Recipe, source: Source[Objects], data_dir: str | Path | None
    ) -> RefinerJob:
        """The training job of a refiner."""
        from reskeras.tasks.refinement.job import RefinerJob

        return RefinerJob(spec, recipe, source, data_dir)

    def run_type(self) -> type[RefinerRun]:
        """The class of refiner runs."""
        from reskeras.tasks.refinement.run import RefinerRun

        return RefinerRun

    def page(self, runs: Sequence[Material]) -> Page:
        """As of a localiser."""
        from reskeras.tasks.localisation.page import page_of_localisers

        return page_of_localisers(runs)

    def card_results(self, run: Material) -> CardResults:
        """The error and the mean IoU, of all images and by class, with the localiser."""
        from reskeras.tasks.localisation.card import localiser_results

        return localiser_results(run.evaluation, run.test)

    def served_batches(self) -> tuple[int, ...]:
        """Small ones: each image has hundreds of regions."""
        from reskeras.export.server_files import DETECTOR_BATCHES

        return DETECTOR_BATCHES
