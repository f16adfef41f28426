"""The refinement task: a localiser's best boxes judged one by one (v1 appendix C)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from reskeras.networks.network import NetworkSpec
from reskeras.networks.overrides import laid_over
from reskeras.networks.refiner import RefinerSpec, refiner_name
from reskeras.networks.refiner_plan import RefinerPlan, lower_refiner
from reskeras.networks.request import refiner
from reskeras.readers import OBJECTS
from reskeras.recipes.recipe import Recipe
from reskeras.tasks.task import Task

if TYPE_CHECKING:
    from reskeras.data.source import Source
    from reskeras.report.sections import Page
    from reskeras.tasks.detection.objects import Objects
    from reskeras.tasks.refinement.job import RefinerJob
    from reskeras.tasks.refinement.run import RefinerRun
    from reskeras.tasks.run import Material, Run
    from reskeras.training.transfer import Start


class RefinementTask(Task):
    """Refinement of a localiser's boxes."""

    name: ClassVar[str] = "refinement"
    noun: ClassVar[str] = "refiner"
    program: ClassVar[tuple[str, ...]] = ("reskeras", "localise")
    annotation: ClassVar[str] = OBJECTS
    recipe: ClassVar[str] = "refiner"
    figure: ClassVar[str] = "val_localised"
    measures: ClassVar[tuple[str, ...]] = ("localisation_error",)

    def spec(self, source: Any = None, *, settings: tuple[str, ...] = (), **fields: Any) -> RefinerSpec:
        """The spec of a refiner, from a refiner or from a network as its judge."""
        return refiner(source, settings=settings, **fields)

    def plan(self, spec: RefinerSpec) -> RefinerPlan:
        """The plans of the refiner's parts."""
        return lower_refiner(spec)

    def network(self, spec: RefinerSpec) -> NetworkSpec:
        """The judge."""
        return spec.judge

    def name_of(self, spec: RefinerSpec) -> str:
        """`resnet-18-refiner`."""
        return refiner_name(spec)

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

    def beginning_spec(self, spec: RefinerSpec, source: Source[Objects]) -> RefinerSpec:
        """`spec` with the number of classes of the data."""
        return laid_over(spec, {"classes": len(source.classes)})

    def start(self, begun: Run) -> Start:
        """The weights of a refiner, or of a classifier with the same network as the judge, without its logits."""
        start = super().start(begun)
        weights = start.weights
        if begun.task != self.name:
            weights = {name: value for name, value in weights.items() if not name.startswith("logits/")}
        return replace(
            start, weights=weights, preprocessing=start.preprocessing.by_channel(), fresh=("objectness", "box_deltas")
        )
