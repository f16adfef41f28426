"""The detection task: Faster R-CNN detectors, annotated images, average precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_plan import DetectorPlan, lower_detector
from reskeras.networks.request import detector
from reskeras.recipes.recipe import Recipe
from reskeras.recipes.recipe import recipe as read_recipe
from reskeras.tasks.detection.object_task import ObjectTask

if TYPE_CHECKING:
    from reskeras.data.preprocessing import Preprocessing
    from reskeras.data.source import Source
    from reskeras.porting.foreign_model import ForeignModel
    from reskeras.porting.port import Port
    from reskeras.porting.recognise import Recognised
    from reskeras.report.card_results import CardResults
    from reskeras.report.sections import Page, Table
    from reskeras.tasks.detection.job import DetectorJob
    from reskeras.tasks.detection.objects import Objects
    from reskeras.tasks.detection.run import DetectorRun
    from reskeras.tasks.run import Material, Run
    from reskeras.training.transfer import Start


OF_NECKS = ("lateral*", "smooth*", "rpn_conv*", "region_*")  # those of a detector with a neck that a classifier lacks


class DetectionTask(ObjectTask):
    """Object detection."""

    name: ClassVar[str] = "detection"
    noun: ClassVar[str] = "detector"
    fresh: ClassVar[tuple[str, ...]] = ("rpn_pre_bn", "rpn_conv", "objectness", "anchor_deltas", "logits", "box_deltas")
    program: ClassVar[tuple[str, ...]] = ("reskeras", "detect")
    recipe: ClassVar[str] = "detector"
    figure: ClassVar[str] = "val_average_precision"
    usage: ClassVar[tuple[str, ...]] = (
        'for image in run.predict("image.jpg"):  # boxes are top, left, bottom, right in pixels',
        "    print(image.path, image.detections)",
    )
    caveats: ClassVar[tuple[str, ...]] = (
        "It finds objects of its classes alone; others are background, or taken for one of them.",
        "Which probability a detection needs is for its use to decide: average precision is over all of them.",
    )
    measures: ClassVar[tuple[str, ...]] = ("map_area",)

    def spec(self, source: Any = None, *, settings: tuple[str, ...] = (), **fields: Any) -> DetectorSpec:
        """The spec of a detector, from a detector or from a network as its backbone."""
        return detector(source, settings=settings, **fields)

    def plan(self, spec: DetectorSpec) -> DetectorPlan:
        """The plans of the detector's parts."""
        return lower_detector(spec)

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

    def card_results(self, run: Material) -> CardResults:
        """Mean average precision, and average precision by class."""
        from reskeras.tasks.detection.card import detector_results

        return detector_results(run.evaluation, run.test)

    def tables(self, plan: DetectorPlan) -> Sequence[Table]:
        """The parts with what they cost an image, and their stages."""
        from reskeras.tasks.detection.page import parts_table

        return [parts_table(plan), *super().tables(plan)]

    def served_batches(self) -> tuple[int, ...]:
        """Small ones: each image has hundreds of regions."""
        from reskeras.export.server_files import DETECTOR_BATCHES

        return DETECTOR_BATCHES

    def beginning_recipe(self, recipe: Recipe, spec: Any, begun: Run, source: Source) -> Recipe:
        """`recipe` with batch norm frozen at its statistics, as in the paper, unless it sets `frozen_bn` itself."""
        return recipe if "frozen_bn" in recipe.sparse() else read_recipe(recipe, frozen_bn=True)

    def port(self, source: ForeignModel, known: Recognised, spec: DetectorSpec, **request: Any) -> Port:
        """torchvision's detector as ours."""
        from reskeras.tasks.detection.porting import port_detector

        return port_detector(source, known, spec, **request)

    def start(self, begun: Run) -> Start:
        """As of any, and with a neck the layers that a classifier lacks."""
        start = super().start(begun)
        return start if begun.task == self.name else replace(start, fresh=(*start.fresh, *OF_NECKS))
