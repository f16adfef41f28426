"""A trained localiser's run, and what can be done with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar, cast

import numpy as np

from reskeras.caller_state import preserved
from reskeras.data.class_labels import check_classes
from reskeras.data.source import Source
from reskeras.errors import ReskerasError
from reskeras.graph.weights import read
from reskeras.image_files import several
from reskeras.networks.localiser import LocaliserSpec
from reskeras.networks.localiser_plan import lower_localiser
from reskeras.tasks.detection.detections import ImageDetections
from reskeras.tasks.detection.detections_folder import Places
from reskeras.tasks.detection.object_run import ObjectRun
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.detection.options import class_numbers
from reskeras.tasks.localisation.evaluation import FIVE, LocalisationEvaluation, evaluation_of
from reskeras.tasks.localisation.localiser import Localiser, check_ensemble
from reskeras.tasks.localisation.prediction import Asked, located_in, opened_files
from reskeras.tasks.localisation.rule import top
from reskeras.tasks.localisation.stages import Stages
from reskeras.tasks.localisation.views import LocaliserViews

if TYPE_CHECKING:
    from reskeras.tasks.classification.run import ClassifierRun
    from reskeras.tasks.localisation.export import LocaliserExporter, Weighted
    from reskeras.tasks.refinement.run import RefinerRun

Classifier: TypeAlias = "str | Path | ClassifierRun | None"
AnyRun = TypeVar("AnyRun")
Several: TypeAlias = str | Path | AnyRun | Sequence[str | Path | AnyRun]  # runs or their folders


class LocaliserRun(ObjectRun):
    """A trained localiser."""

    task: ClassVar[str] = "localisation"
    kinds: ClassVar[tuple[str, ...]] = ("serving", "tflite")

    def judge(self, source: Source[Objects], images: Objects) -> LocalisationEvaluation:
        """Errors where the class is given, by centre crops."""
        return self.judged_with(None, source, images)

    def judged_with(
        self, refiner: RefinerRun | None, source: Source[Objects], images: Objects
    ) -> LocalisationEvaluation:
        """Errors where the class is given, by centre crops, of the best box, or of that which `refiner` finds best."""
        stages = self._stages(LocaliserViews(), (), refiner or ())
        located = stages.located(images, images.held(len(source.classes)))
        train = source.training_images("train")
        return evaluation_of(located, stages.describe(), images, train, source.classes, source.label)

    @preserved()
    def localiser(self, views: LocaliserViews = LocaliserViews(), others: Several[LocaliserRun] = ()) -> Localiser:
        """The best model, ready for image files; with `others`, runs of the same classes, crop and anchors, an
        ensemble."""
        spec = cast(LocaliserSpec, self.folder.spec())  # a run is opened as of its own task alone
        beside = [run.localiser(views) for run in self._opened("with", LocaliserRun, others)]
        found = Localiser(lower_localiser(spec), read(self.model()), self.preprocessing(), views, beside)
        for each, other in zip(beside, _listed(others), strict=True):
            check_ensemble(found, each, str(other))
        return found

    @preserved()
    def evaluate(
        self,
        data: str | None = None,
        data_dir: str | Path | None = None,
        split: str = "test",
        views: LocaliserViews = LocaliserViews(),
        refiner: Several[RefinerRun] = (),
        classifier: Classifier = None,
        progress: Callable[[int, int], None] = lambda done, of: None,
        tell: Callable[[str], None] = lambda note: None,
        others: Several[LocaliserRun] = (),
    ) -> LocalisationEvaluation:
        """The localisation errors of the best model on a split (`test` or `train`), in float32: where the class is
        given, and with the classes that `classifier`, a run of the same classes, predicts from the same images.

        With `refiner`, a run or several, the best boxes of each class are judged anew, by the mean of these; `others`
        are those of `localiser`. `progress` gets the looks done, of how many, `tell` the notes about the images.
        """
        source = self.source(data, data_dir)
        if unseen := views.unseen(self.plan.spec.shorter, self.folder.recipe().augment.scale or (1.0, 1.0)):
            tell(unseen)
        images, train = self.images(source, split, tell), source.training_images("train")
        known, stages = _classifier(classifier), self._stages(views, others, refiner)
        guesses = None if known is None else _guesses(known, images, self)
        wanted = images.held(len(source.classes))
        if guesses is not None:
            np.put_along_axis(wanted, top(guesses, FIVE), True, axis=1)
        located = stages.located(images, wanted, progress)
        named = None if known is None else str(known.path)
        return evaluation_of(located, stages.describe(), images, train, source.classes, source.label, named, guesses)

    @preserved()
    def predict(
        self,
        paths: str | Path | Sequence[str | Path],
        top: int | None = None,
        views: LocaliserViews = LocaliserViews(),
        refiner: Several[RefinerRun] = (),
        classifier: Classifier = None,
        broken: Callable[[str, ReskerasError], None] | None = None,
        others: Several[LocaliserRun] = (),
        *,
        classes: str | Sequence[str] | None = None,
        places: Places = Places(),
        progress: Callable[[int, int], None] = lambda done, of: None,
    ) -> list[ImageDetections]:
        """Where objects are in image files: for each file, in order, an ImageDetections of Locations. They are of
        `classes`, if given; else of the `top` classes, by default one, that `classifier`, a run of the same classes,
        gives the image, most probable first; and without one of those whose boxes are likeliest. `views`, `refiner` and
        `others` are those of `evaluate`, `places` what is written.

        A file that cannot be read raises ReskerasError, and nothing is written; with `broken`, which is called with the
        path and the error, the others are still looked at. `progress` gets the looks done, of how many.
        """
        names, known = self.folder.classes(), _classifier(classifier)
        asked = Asked(top, class_numbers(names, classes), known is not None)
        if known is not None:
            check_classifier(known, self)
        files = [os.fspath(each) for each in several(paths)]
        with places.writing(files, names, names, 0.0) as writing:
            stages, images = self._stages(views, others, refiner), opened_files(files, broken)
            guesses = None if known is None or not images.count else _guesses(known, images, self)
            found = located_in(stages, images, names, asked, guesses, progress)
            for image in found:
                writing.image(image)
            writing.finish(found)
        return found

    def weighted(self) -> Weighted:
        """The best model as it is exported."""
        from reskeras.tasks.localisation.export import Weighted

        return Weighted(self.plan, read(self.model()), self.preprocessing())

    def check_export(
        self, kinds: tuple[str, ...], tolerances: Mapping[str, float], batch: int | None, images: int
    ) -> None:
        """As any run on annotated images."""
        from reskeras.tasks.localisation.export import LocaliserExporter

        LocaliserExporter.check(kinds, tolerances, batch, images)

    def exporter(self, source: Source[Objects], **request: Any) -> LocaliserExporter:
        """Of `serving`; and of `tflite`, `tflite-float16`, `onnx` and `openvino`, which take the pixels of a crop."""
        from reskeras.tasks.localisation.export import LocaliserExporter

        return LocaliserExporter.of(self.folder, source, self.name, localiser=self.weighted(), **request)

    def _stages(self, views: LocaliserViews, others: Several[LocaliserRun], refiners: Several[RefinerRun]) -> Stages:
        if not _listed(refiners):
            return Stages(self.localiser(views, others))
        from reskeras.tasks.refinement.run import RefinerRun

        opened = self._opened("refiner", RefinerRun, refiners)
        return Stages(self.localiser(views, others), tuple(each.refiner() for each in opened))

    def _opened(self, what: str, kind: type[ObjectRun], given: Several[Any]) -> list[Any]:
        """The runs that are given as such or by their folders. ReskerasError (status 2) for one of other classes."""
        runs = [kind.named_by(what, each) if isinstance(each, str | Path) else each for each in _listed(given)]
        for each in runs:
            check_classes(what, each.path, each.folder.classes(), self.path, self.folder.classes())
        return runs


def _listed(given: Several[Any]) -> list[Any]:
    return list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]


def _classifier(classifier: Classifier) -> ClassifierRun | None:
    from reskeras.tasks.classification.run import ClassifierRun

    return ClassifierRun.named_by("classifier", classifier) if isinstance(classifier, str | Path) else classifier


def check_classifier(classifier: ClassifierRun, run: LocaliserRun) -> None:
    """ReskerasError (status 2) for a classifier of other classes; their order may differ."""
    own, known = run.folder.classes(), classifier.folder.classes()
    check_classes("classifier", classifier.path, sorted(known), run.path, sorted(own))


def _guesses(classifier: ClassifierRun, images: Objects, run: LocaliserRun) -> np.ndarray:
    """Log probabilities (n, C) of the run's classes by a classifier, single view."""
    from reskeras.evaluation.views import Views, scored

    check_classifier(classifier, run)
    known = classifier.folder.classes()
    logs = [
        log for log, _ in scored(classifier.model(), images.images(), classifier.preprocessing(), Views(), None, 128)
    ]
    return np.concatenate(logs)[:, [known.index(name) for name in run.folder.classes()]]
