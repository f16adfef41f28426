"""The localisation task: per-class proposal networks on images with annotated objects (v1 appendix C)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from reskeras.networks.localiser import LocaliserSpec, localiser_name
from reskeras.networks.localiser_plan import LocaliserPlan, lower_localiser
from reskeras.networks.network import NetworkSpec
from reskeras.networks.overrides import laid_over
from reskeras.networks.request import localiser
from reskeras.readers import OBJECTS
from reskeras.recipes.recipe import Recipe
from reskeras.tasks.task import Task

if TYPE_CHECKING:
    from reskeras.data.source import Source
    from reskeras.report.sections import Page
    from reskeras.tasks.detection.objects import Objects
    from reskeras.tasks.localisation.job import LocaliserJob
    from reskeras.tasks.localisation.run import LocaliserRun
    from reskeras.tasks.run import Material, Run
    from reskeras.training.transfer import Start


class LocalisationTask(Task):
    """Localisation of one object of a given class."""

    name: ClassVar[str] = "localisation"
    noun: ClassVar[str] = "localiser"
    program: ClassVar[tuple[str, ...]] = ("reskeras", "localise")
    annotation: ClassVar[str] = OBJECTS
    recipe: ClassVar[str] = "localiser"
    figure: ClassVar[str] = "val_localised"
    measures: ClassVar[tuple[str, ...]] = ("localisation_error",)

    def spec(self, source: Any = None, *, settings: tuple[str, ...] = (), **fields: Any) -> LocaliserSpec:
        """The spec of a localiser, from a localiser or from a network as its trunk."""
        return localiser(source, settings=settings, **fields)

    def plan(self, spec: LocaliserSpec) -> LocaliserPlan:
        """The plans of the localiser's parts."""
        return lower_localiser(spec)

    def network(self, spec: LocaliserSpec) -> NetworkSpec:
        """The trunk."""
        return spec.trunk

    def name_of(self, spec: LocaliserSpec) -> str:
        """`resnet-18-localiser`."""
        return localiser_name(spec)

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

    def beginning_spec(self, spec: LocaliserSpec, source: Source[Objects]) -> LocaliserSpec:
        """`spec` with the number of classes of the data."""
        return laid_over(spec, {"classes": len(source.classes)})

    def start(self, begun: Run) -> Start:
        """The weights of a localiser, or of a classifier with the same network as the trunk, without its logits; a
        per-pixel mean becomes a per-channel one, because crops show images at any position."""
        from reskeras.tasks.detection.object_job import FRESH

        start = super().start(begun)
        weights = start.weights
        if begun.task != self.name:
            weights = {name: value for name, value in weights.items() if not name.startswith("logits/")}
        return replace(start, weights=weights, preprocessing=start.preprocessing.by_channel(), fresh=FRESH)
