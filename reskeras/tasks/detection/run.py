"""A trained detector's run, and what can be done with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, cast

from reskeras.artefacts import artefacts_of
from reskeras.caller_state import preserved
from reskeras.data.source import Source
from reskeras.errors import ReskerasError
from reskeras.export.proof import Proof
from reskeras.graph.weights import read
from reskeras.image_files import several
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_plan import lower_detector
from reskeras.networks.overrides import laid_over
from reskeras.tasks.detection.detection_evaluation import DetectionEvaluation, evaluate_detector
from reskeras.tasks.detection.detections import ImageDetections, predict_images
from reskeras.tasks.detection.detector_inference import Detector
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.detection.options import Options, check_score
from reskeras.tasks.run import Run


class DetectorRun(Run[Objects]):
    """A trained detector."""

    task: ClassVar[str] = "detection"

    @property
    def _spec(self) -> DetectorSpec:
        return cast(DetectorSpec, self.folder.spec())  # a run is opened as of its own task alone

    def judge(self, source: Source[Objects], images: Objects) -> DetectionEvaluation:
        """Average precision and recall, at a single scale."""
        return evaluate_detector(self.detector(), images, source.classes, source.label)

    @preserved()
    def detector(self, options: Options = Options(), score: float | None = None) -> Detector:
        """The best model, ready for image files; `score` overrides the detector's own score threshold."""
        spec = self._spec if score is None else laid_over(self._spec, {"detections.score": score})
        return Detector(lower_detector(spec), read(self.model()), self.preprocessing(), options)

    @preserved()
    def evaluate(
        self,
        data: str | None = None,
        data_dir: str | Path | None = None,
        split: str = "test",
        options: Options = Options(),
        progress: Callable[[int, int], None] = lambda done, of: None,
        tell: Callable[[str], None] = lambda note: None,
    ) -> DetectionEvaluation:
        """Average precision and recall of the best model on a split (`test` or `train`), in float32.

        `options` are those of v1 appendix A. `progress` gets the images done, of how many, `tell` the notes
        about the images.
        """
        source = self.source(data, data_dir)
        images = self.images(source, split, tell)
        return evaluate_detector(self.detector(options), images, source.classes, source.label, progress)

    @preserved()
    def predict(
        self,
        paths: str | Path | Sequence[str | Path],
        out: str | Path | None = None,
        score: float | None = None,
        options: Options = Options(),
        broken: Callable[[str, ReskerasError], None] | None = None,
    ) -> list[ImageDetections]:
        """The objects in one or several image files, by descending score; those with a probability of at least `score`,
        by default the detector's own threshold, 0.05 unless set.

        `out` is a new folder for the images with boxes drawn in (NAME-detections.png; without `score` those of 0.5 or
        more) and detections.json, in COCO's format. Nothing is written when a file is missing or broken, unless
        `broken` is given, which is called with the path and the error; the others are then processed.
        """
        from reskeras.tasks.detection.detections_folder import check_folder, save_found

        check_score(score)
        if out is not None:
            check_folder(out)
        classes, files = self.folder.classes(), [os.fspath(each) for each in several(paths)]
        found = predict_images(self.detector(options, score), classes, files, broken)
        if out is not None:
            save_found(found, classes, out, score)
        return found

    @preserved()
    def export(
        self,
        *kinds: str,
        data: str | None = None,
        data_dir: str | Path | None = None,
        tolerances: Mapping[str, float] | None = None,
        timing: bool = True,
        tell: Callable[[str], None] = lambda note: None,
    ) -> list[Proof]:
        """A SavedModel that takes image files and returns boxes, scores and class names, verified on real test images:
        `serving`, the only kind.

        `tolerances` are by kind: how much a probability, or a corner as a share of the image's longer side, may differ.
        `tell` gets each kind as it begins. An artefact that differs by more is moved aside, with a ReskerasError
        (status 1).
        """
        from reskeras.tasks.detection.export import DetectorExporter

        kinds = kinds or tuple(artefacts_of(self.task))
        DetectorExporter.check(kinds, tolerances or {})
        self.folder.model_file  # noqa: B018 - raises before the data is opened
        return DetectorExporter.of(
            self.folder, self.source(data, data_dir), self.name, tolerances=tolerances or {}, timing=timing
        ).export(kinds, tell)
