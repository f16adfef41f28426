"""Detection as a task: Faster R-CNN detectors, annotated images, average precision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from reskeras.readers import OBJECTS
from reskeras.spec.detector import DetectorSpec, detector_name
from reskeras.spec.overrides import laid_over
from reskeras.spec.recipe import Recipe
from reskeras.spec.recipe import recipe as read_recipe
from reskeras.spec.request import detector
from reskeras.tasks.task import Task

if TYPE_CHECKING:
    from reskeras.data.source import Source
    from reskeras.report.sections import Page
    from reskeras.tasks.detection.job import DetectorJob
    from reskeras.tasks.detection.objects import Objects
    from reskeras.tasks.detection.run import DetectorRun
    from reskeras.tasks.run import Material, Run
    from reskeras.training.transfer import Start


class Detection(Task):
    """Where objects of which classes are in an image."""

    name: ClassVar[str] = "detection"
    noun: ClassVar[str] = "detector"
    program: ClassVar[tuple[str, ...]] = ("reskeras", "detect")
    annotation: ClassVar[str] = OBJECTS
    recipe: ClassVar[str] = "detector"

    def spec(self, source: Any = None, *, settings: tuple[str, ...] = (), **fields: Any) -> DetectorSpec:
        """A detector, or a network as the backbone of one."""
        return detector(source, settings=settings, **fields)

    def name_of(self, spec: DetectorSpec) -> str:
        """`resnet-18-detector`."""
        return detector_name(spec)

    def job(self, spec: DetectorSpec, recipe: Recipe, source: Source[Objects],
            data_dir: str | Path | None) -> DetectorJob:
        """A detector's training."""
        from reskeras.tasks.detection.job import DetectorJob

        return DetectorJob(spec, recipe, source, data_dir)

    def run_type(self) -> type[DetectorRun]:
        """Detectors."""
        from reskeras.tasks.detection.run import DetectorRun

        return DetectorRun

    def page(self, runs: Sequence[Material]) -> Page:
        """Precision, proposals, losses, pictures."""
        from reskeras.tasks.detection.page import page_of_detectors

        return page_of_detectors(runs)

    def served_batches(self) -> tuple[int, ...]:
        """Few: each image has hundreds of regions."""
        from reskeras.export.server_files import DETECTOR_BATCHES

        return DETECTOR_BATCHES

    def beginning_recipe(self, recipe: Recipe) -> Recipe:
        """Batch norm is frozen with its statistics, as in the paper, unless the recipe says `frozen_bn` itself."""
        return recipe if "frozen_bn" in recipe.sparse() else read_recipe(recipe, frozen_bn=True)

    def beginning_spec(self, spec: DetectorSpec, source: Source[Objects]) -> DetectorSpec:
        """With the classes of the data, however many the run told apart."""
        return laid_over(spec, {"classes": len(source.classes)})

    def start(self, begun: Run) -> Start:
        """The weights of a detector, or of a classifier with the same network as the backbone, whose classes are none
        of its regions'; a canvas shows images at any place, so that no pixel has a mean of its own."""
        from reskeras.graph.weights import read
        from reskeras.tasks.detection.job import FRESH
        from reskeras.training.transfer import Start

        weights = read(begun.model())
        if begun.task != self.name:
            weights = {name: value for name, value in weights.items() if not name.startswith("logits/")}
        return Start(str(begun.path), weights, begun.preprocessing().by_channel(), FRESH)
