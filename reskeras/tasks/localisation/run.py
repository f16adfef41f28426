"""A trained localiser's run, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeAlias, cast

import numpy as np

from reskeras.caller_state import preserved
from reskeras.data.source import Source
from reskeras.errors import ReskerasError
from reskeras.graph.weights import read
from reskeras.networks.localiser import LocaliserSpec
from reskeras.networks.localiser_plan import lower_localiser
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.localisation.evaluation import LocalisationEvaluation, evaluate_localiser
from reskeras.tasks.localisation.localiser import Localiser
from reskeras.tasks.localisation.views import LocaliserViews
from reskeras.tasks.run import Run

if TYPE_CHECKING:
    from reskeras.tasks.classification.run import ClassifierRun

Classifier: TypeAlias = "str | Path | ClassifierRun | None"


class LocaliserRun(Run[Objects]):
    """A trained localiser."""

    task: ClassVar[str] = "localisation"

    def judge(self, source: Source[Objects], images: Objects) -> LocalisationEvaluation:
        """Errors where the class is given, by centre crops."""
        train = source.training_images("train")
        return evaluate_localiser(self.localiser(), images, train, source.classes, source.label)

    @preserved()
    def localiser(self, views: LocaliserViews = LocaliserViews()) -> Localiser:
        """The best model, ready for image files."""
        spec = cast(LocaliserSpec, self.folder.spec())  # a run is opened as of its own task alone
        return Localiser(lower_localiser(spec), read(self.model()), self.preprocessing(), views)

    @preserved()
    def evaluate(
        self,
        data: str | None = None,
        data_dir: str | Path | None = None,
        split: str = "test",
        views: LocaliserViews = LocaliserViews(),
        classifier: Classifier = None,
        progress: Callable[[int, int], None] = lambda done, of: None,
        tell: Callable[[str], None] = lambda note: None,
    ) -> LocalisationEvaluation:
        """The localisation errors of the best model on a split (`test` or `train`), in float32: where the class is
        given, and with the classes that `classifier`, a run of the same classes, predicts from the same images.

        `progress` gets the looks done, of how many, `tell` the notes about the images.
        """
        source = self.source(data, data_dir)
        images, train = self.images(source, split, tell), source.training_images("train")
        known = None if classifier is None else _opened(classifier)
        guesses = None if known is None else _guesses(known, images, self)
        named = None if known is None else str(known.path)
        return evaluate_localiser(
            self.localiser(views), images, train, source.classes, source.label, progress, named, guesses
        )


def _opened(classifier: Classifier) -> ClassifierRun:
    from reskeras.tasks.classification.run import ClassifierRun

    return classifier if isinstance(classifier, ClassifierRun) else ClassifierRun(cast(str, classifier))


def _guesses(classifier: ClassifierRun, images: Objects, run: LocaliserRun) -> np.ndarray:
    """Log probabilities (n, C) of the run's classes by a classifier, single view. ReskerasError (status 2) for one of
    other classes."""
    from reskeras.evaluation.views import Views, scored

    own, known = run.folder.classes(), classifier.folder.classes()
    if sorted(own) != sorted(known):
        missing = sorted({*own} - {*known}) or sorted({*known} - {*own})
        raise ReskerasError(
            f"classifier: {classifier.path} has other classes than {run.path}: {', '.join(missing[:5])} is not in both"
        )
    logs = [
        log for log, _ in scored(classifier.model(), images.images(), classifier.preprocessing(), Views(), None, 128)
    ]
    return np.concatenate(logs)[:, [known.index(name) for name in own]]
