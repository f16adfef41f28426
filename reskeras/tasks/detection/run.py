"""A trained detector's run, and what can be done with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, cast

from reskeras.caller_state import preserved
from reskeras.data.source import Source
from reskeras.data.video import opened, skipped
from reskeras.errors import ReskerasError
from reskeras.graph.weights import read
from reskeras.image_files import several
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_plan import lower_detector
from reskeras.networks.overrides import laid_over
from reskeras.tasks.detection.detection_evaluation import DetectionEvaluation, evaluate_detector
from reskeras.tasks.detection.detections import Found
from reskeras.tasks.detection.detections_folder import Places
from reskeras.tasks.detection.detector_inference import Detector
from reskeras.tasks.detection.ensemble import check_others, class_order
from reskeras.tasks.detection.finder import Finder
from reskeras.tasks.detection.object_run import ObjectRun
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.detection.options import Options, Tiling, check_score, class_numbers
from reskeras.walk import is_video

if TYPE_CHECKING:
    from reskeras.tasks.detection.export import DetectorExporter

Other: TypeAlias = "str | Path | DetectorRun"


class DetectorRun(ObjectRun):
    """A trained detector."""

    task: ClassVar[str] = "detection"

    @property
    def _spec(self) -> DetectorSpec:
        return cast(DetectorSpec, self.folder.spec())  # a run is opened as of its own task alone

    def judge(self, source: Source[Objects], images: Objects) -> DetectionEvaluation:
        """Average precision and recall, at a single scale."""
        return evaluate_detector(self.detector(), images, source.classes, source.label)

    @preserved()
    def detector(
        self,
        options: Options = Options(),
        score: float | None = None,
        others: Other | Sequence[Other] = (),
        only: Sequence[int] | None = None,
    ) -> Detector:
        """The best model, ready for image files; `score` overrides the detector's own score threshold. With `only`,
        numbers of classes, it finds no others.

        With `others`, runs or their folders, it is an ensemble of this and at most 7 others (v1 appendix B): each, on
        its own canvas and with the same `options`, classifies the proposals of all; probabilities and boxes are
        averaged. Which boxes are detections is decided by this detector's settings. N detectors take about N² times as
        long as one. ReskerasError (status 2) for a run with other classes; their order may differ.
        """
        beside = [run._loaded(run._spec, options, order) for run, order in self._beside(others)]
        spec = self._spec if score is None else laid_over(self._spec, {"detections.score": score})
        return self._loaded(spec, options, None, beside, only)

    def _loaded(
        self,
        spec: DetectorSpec,
        options: Options,
        order: Sequence[int] | None,
        others: Sequence[Detector] = (),
        only: Sequence[int] | None = None,
    ) -> Detector:
        return Detector(lower_detector(spec), read(self.model()), self.preprocessing(), options, order, others, only)

    def _beside(self, others: Other | Sequence[Other]) -> list[tuple[DetectorRun, list[int]]]:
        """The other runs of an ensemble, opened, each with the place of each of this run's classes among its own."""
        given = [others] if isinstance(others, str | Path | DetectorRun) else others
        check_others(len(given))
        classes = self.folder.classes()
        runs = [other if isinstance(other, DetectorRun) else DetectorRun.named_by("with", other) for other in given]
        return [(run, class_order(run.path, run.folder.classes(), self.path, classes)) for run in runs]

    @preserved()
    def evaluate(
        self,
        data: str | None = None,
        data_dir: str | Path | None = None,
        split: str = "test",
        options: Options = Options(),
        progress: Callable[[int, int], None] = lambda done, of: None,
        tell: Callable[[str], None] = lambda note: None,
        others: Other | Sequence[Other] = (),
    ) -> DetectionEvaluation:
        """Average precision and recall of the best model on a split (`test` or `train`), in float32.

        `options` and `others` are those of `detector`: v1 appendix B. `progress` gets the images done, of how many,
        `tell` the notes about the images.
        """
        runs = [run for run, _ in self._beside(others)]
        source = self.source(data, data_dir)
        images = self.images(source, split, tell)
        for run in runs:
            self._tell_other_data(run, tell)
        detector = self.detector(options, others=runs)
        return evaluate_detector(detector, images, source.classes, source.label, progress)

    def _tell_other_data(self, run: DetectorRun, tell: Callable[[str], None]) -> None:
        """Tell that `run`, of an ensemble, was trained on other data than this one."""
        own, known = (each.folder.provenance().get("data", {}) for each in (self, run))
        if known.get("fingerprint") != own.get("fingerprint"):
            where = known.get("name", "unknown data")
            tell(
                f"{run.path} was trained on {where}: if that includes images of this split, the ensemble "
                "looks better than it is"
            )

    @preserved()
    def predict(
        self,
        paths: str | Path | Sequence[str | Path],
        out: str | Path | None = None,
        score: float | None = None,
        options: Options = Options(),
        broken: Callable[[str, ReskerasError], None] | None = None,
        others: Other | Sequence[Other] = (),
        *,
        classes: str | Sequence[str] | None = None,
        tiling: Tiling | None = None,
        places: Places = Places(),
        progress: Callable[[int, int], None] = lambda done, of: None,
    ) -> list[Found]:
        """The objects in image and video files, in order: an ImageDetections or a VideoDetections for each. Objects are
        those with a probability of at least `score`, by default the detector's own threshold, 0.05 unless set, and of
        `classes`, by default all. `options` and `others` are those of `detector`; `tiling` is for small objects in
        large images. `progress` gets the frames of a video done, of how many.

        `out` is a new folder for the images and videos with boxes drawn in (NAME-detections.png and .mp4; without
        `score` those of 0.5 or more) and detections.json, in COCO's format; `places` has more that can be written.
        Nothing is written when a file is missing or broken, unless `broken` is given, which is called with the path and
        the error; the others are then processed.
        """
        check_score(score)
        places = places if out is None else replace(places, out=Path(out))
        names, files = self.folder.classes(), [os.fspath(each) for each in several(paths)]
        only = class_numbers(names, classes)
        wanted = names if only is None else [names[number] for number in only]
        images, films = ([path for path in files if is_video(Path(path)) is film] for film in (False, True))
        if films and places.annotations is not None:
            raise ReskerasError(f"annotations: the ids are of image files, and {films[0]} is a video")
        with places.writing(images, names, wanted, score) as writing:
            videos = opened(films, broken)
            finder = Finder(self.detector(options, score, others, only), names, tiling)
            found: list[Found] = []
            for image in finder.in_files(images, broken):
                writing.image(image)
                found.append(image)
            for video in videos:
                with skipped(video.path, broken), writing.video(video) as take:
                    found.append(finder.in_frames(video, take, progress))
            writing.finish(found)
        left: dict[str, list[Found]] = {}
        for each in found:
            left.setdefault(each.path, []).append(each)
        return [left[path].pop(0) for path in files if left.get(path)]

    def check_export(
        self, kinds: tuple[str, ...], tolerances: Mapping[str, float], batch: int | None, images: int
    ) -> None:
        """As any run on annotated images."""
        from reskeras.tasks.detection.export import DetectorExporter, check_files, check_served

        DetectorExporter.check(kinds, tolerances, batch, images)
        check_files(self._spec, kinds)
        if "serving" in kinds:
            check_served(self._spec)

    def exporter(self, source: Source[Objects], **request: Any) -> DetectorExporter:
        """Of `serving`; of `tflite`, `tflite-float16`, `onnx` and `openvino`, which take the pixels of a canvas; and
        of `torchvision-state-dict`, weights for torchvision's Faster R-CNN."""
        from reskeras.tasks.detection.export import DetectorExporter

        return DetectorExporter.of(
            self.folder,
            source,
            self.name,
            plan=self.plan,
            weights=read(self.model()),
            preprocessing=self.preprocessing(),
            **request,
        )
