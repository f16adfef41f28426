"""The detection task: Faster R-CNN detectors, annotated images, average precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from reskeras.networks.detector import DetectorSpec, detector_name
from reskeras.networks.detector_plan import DetectorPlan, lower_detector
from reskeras.networks.network import NetworkSpec
from reskeras.networks.overrides import laid_over
from reskeras.networks.request import detector
from reskeras.readers import OBJECTS
from reskeras.recipes.recipe import Recipe
from reskeras.recipes.recipe import recipe as read_recipe
from reskeras.tasks.task import Task

if TYPE_CHECKING:
    from reskeras.data.preprocessing import Preprocessing
    from reskeras.data.source import Source
    from reskeras.porting.foreign_model import ForeignModel
    from reskeras.porting.port import Port
    from reskeras.porting.recognise import Recognised
    from reskeras.report.sections import Page
    from reskeras.tasks.detection.job import DetectorJob
    from reskeras.tasks.detection.objects import Objects
    from reskeras.tasks.detection.run import DetectorRun
    from reskeras.tasks.run import Material, Run
    from reskeras.training.transfer import Start


class DetectionTask(Task):
    """Object detection."""

    name: ClassVar[str] = "detection"
    noun: ClassVar[str] = "detector"
    program: ClassVar[tuple[str, ...]] = ("reskeras", "detect")
    annotation: ClassVar[str] = OBJECTS
    recipe: ClassVar[str] = "detector"
    figure: ClassVar[str] = "val_average_precision"
    measures: ClassVar[tuple[str, ...]] = ("map_area",)

    def spec(self, source: Any = None, *, settings: tuple[str, ...] = (), **fields: Any) -> DetectorSpec:
        """The spec of a detector, from a detector or from a network as its backbone."""
        return detector(source, settings=settings, **fields)

    def plan(self, spec: DetectorSpec) -> DetectorPlan:
        """The plans of the detector's parts."""
        return lower_detector(spec)

    def network(self, spec: DetectorSpec) -> NetworkSpec:
        """The backbone."""
        return spec.backbone

    def name_of(self, spec: DetectorSpec) -> str:
        """`resnet-18-detector`."""
        return detector_name(spec)

    def describe_pixels(self, spec: DetectorSpec, preprocessing: Preprocessing) -> str:
        """How images are scaled and placed on canvases."""
        from reskeras.tasks.detection.canvas import describe

        return describe(preprocessing, spec.resize)

    def job(
        self, spec: DetectorSpec, recipe: Recipe, source: Source[Objects], data_dir: str | Path | None
    ) -> DetectorJob:
        """The training job of a detector."""
        from reskeras.tasks.detection.job import DetectorJob

        return DetectorJob(spec, recipe, source, data_dir)

    def run_type(self) -> type[DetectorRun]:
        """The class of detector runs."""
        from reskeras.tasks.detection.run import DetectorRun

        return DetectorRun

    def page(self, runs: Sequence[Material]) -> Page:
        """Precision, proposals, losses, pictures."""
        from reskeras.tasks.detection.page import page_of_detectors

        return page_of_detectors(runs)

    def served_batches(self) -> tuple[int, ...]:
        """Small ones: each image has hundreds of regions."""
        from reskeras.export.server_files import DETECTOR_BATCHES

        return DETECTOR_BATCHES

    def beginning_recipe(self, recipe: Recipe) -> Recipe:
        """`recipe` with batch norm frozen at its statistics, as in the paper, unless it sets `frozen_bn` itself."""
        return recipe if "frozen_bn" in recipe.sparse() else read_recipe(recipe, frozen_bn=True)

    def beginning_spec(self, spec: DetectorSpec, source: Source[Objects]) -> DetectorSpec:
        """`spec` with the number of classes of the data."""
        return laid_over(spec, {"classes": len(source.classes)})

    def port(self, source: ForeignModel, known: Recognised, spec: DetectorSpec, **request: Any) -> Port:
        """torchvision's detector as ours."""
        from reskeras.tasks.detection.porting import port_detector

        return port_detector(source, known, spec, **request)

    def start(self, begun: Run) -> Start:
        """The weights of a detector, or of a classifier with the same network as the backbone, without its logits; a
        per-pixel mean becomes a per-channel one, because a canvas shows images at any position."""
        from reskeras.tasks.detection.job import FRESH, OF_NECKS

        start = super().start(begun)
        weights, fresh = start.weights, (*FRESH, *(OF_NECKS if begun.task != self.name else ()))
        if begun.task != self.name:
            weights = {name: value for name, value in weights.items() if not name.startswith("logits/")}
        return replace(start, weights=weights, preprocessing=start.preprocessing.by_channel(), fresh=fresh)
