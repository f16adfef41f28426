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
from reskeras.tasks.localisation.evaluation import FIVE, LocalisationEvaluation, evaluation_of
from reskeras.tasks.localisation.localiser import Localiser, Located
from reskeras.tasks.localisation.rule import held, top, wanted_classes
from reskeras.tasks.localisation.views import LocaliserViews
from reskeras.tasks.run import Run

if TYPE_CHECKING:
    from reskeras.tasks.classification.run import ClassifierRun
    from reskeras.tasks.refinement.run import RefinerRun

Classifier: TypeAlias = "str | Path | ClassifierRun | None"
Refined: TypeAlias = "str | Path | RefinerRun | None"


class LocaliserRun(Run[Objects]):
    """A trained localiser."""

    task: ClassVar[str] = "localisation"

    def judge(self, source: Source[Objects], images: Objects) -> LocalisationEvaluation:
        """Errors where the class is given, by centre crops."""
        return self.judged_with(None, source, images)

    def judged_with(
        self, refiner: RefinerRun | None, source: Source[Objects], images: Objects
    ) -> LocalisationEvaluation:
        """Errors where the class is given, by centre crops, of the best box, or of that which `refiner` finds best."""
        views = LocaliserViews()
        wanted = held(images, len(source.classes))
        located = self._located(images, views, wanted, refiner, lambda done, of: None)
        train = source.training_images("train")
        return evaluation_of(located, _words(views, refiner), images, train, source.classes, source.label)

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
        refiner: Refined = None,
        classifier: Classifier = None,
        progress: Callable[[int, int], None] = lambda done, of: None,
        tell: Callable[[str], None] = lambda note: None,
    ) -> LocalisationEvaluation:
        """The localisation errors of the best model on a split (`test` or `train`), in float32: where the class is
        given, and with the classes that `classifier`, a run of the same classes, predicts from the same images.

        With `refiner`, a run, the best boxes of each class are judged anew. `progress` gets the looks done, of how
        many, `tell` the notes about the images.
        """
        source = self.source(data, data_dir)
        images, train = self.images(source, split, tell), source.training_images("train")
        known, second = _opened(classifier), _refiner(refiner, self)
        guesses = None if known is None else _guesses(known, images, self)
        wanted = held(images, len(source.classes))
        if guesses is not None:
            np.put_along_axis(wanted, top(guesses, FIVE), True, axis=1)
        located = self._located(images, views, wanted, second, progress)
        named = None if known is None else str(known.path)
        return evaluation_of(
            located, _words(views, second), images, train, source.classes, source.label, named, guesses
        )

    def _located(
        self,
        images: Objects,
        views: LocaliserViews,
        wanted: np.ndarray,
        refiner: RefinerRun | None,
        progress: Callable[[int, int], None],
    ) -> Located:
        """The best box of every class, or with `refiner` of those that an image has `wanted`, bool (n, C)."""
        localiser = self.localiser(views)
        if refiner is None:
            return localiser.look(images, progress)
        from reskeras.tasks.refinement.refiner import best_of

        second, labels = refiner.refiner(), wanted_classes(wanted)
        candidates = localiser.candidates(images, labels, second.plan.spec.count)
        return best_of(second.judged(images, labels, candidates, progress), labels, wanted.shape[1])


def _words(views: LocaliserViews, refiner: RefinerRun | None) -> str:
    return views.describe() + (f", the best {refiner.plan.spec.count} boxes judged anew" if refiner else "")


def _refiner(refiner: Refined, run: LocaliserRun) -> RefinerRun | None:
    """The run of a refiner. ReskerasError (status 2) for one of other classes."""
    from reskeras.tasks.refinement.run import RefinerRun

    if refiner is None:
        return None
    opened = refiner if isinstance(refiner, RefinerRun) else RefinerRun(refiner)
    if opened.folder.classes() != run.folder.classes():
        raise ReskerasError(f"refiner: {opened.path} has other classes than {run.path}, or in another order")
    return opened


def _opened(classifier: Classifier) -> ClassifierRun | None:
    from reskeras.tasks.classification.run import ClassifierRun

    return ClassifierRun(classifier) if isinstance(classifier, str | Path) else classifier


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
