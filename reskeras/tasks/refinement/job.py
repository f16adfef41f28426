"""Training of a refiner: its subject and its job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import keras
import numpy as np

from reskeras.data.class_labels import check_classes
from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.graph.weights import read
from reskeras.networks.built_on import built_name
from reskeras.networks.refiner import JUDGE, RefinerSpec
from reskeras.networks.refiner_plan import RefinerPlan
from reskeras.plans.plan import Plan
from reskeras.recipes.later import identifying
from reskeras.recipes.recipe import Recipe
from reskeras.tasks.detection.object_job import ONLY_CLASSIFIERS, ObjectJob, ObjectSubject
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.localisation.job import RIGHT_BOXES, RightBoxes
from reskeras.tasks.localisation.localiser import Localiser, Located
from reskeras.tasks.localisation.rule import check_images, wanted_classes
from reskeras.tasks.localisation.run import LocaliserRun
from reskeras.tasks.refinement.feed import RefinerFeed
from reskeras.tasks.refinement.model import refiner_model, training_model
from reskeras.tasks.refinement.refiner import Refiner, best_of
from reskeras.training.strategy import Replicas
from reskeras.training.subject import Measure
from reskeras.training.transfer import digest_of

MOST = 100  # images whose boxes are judged after each epoch


@dataclass(frozen=True)
class RefinerSubject(ObjectSubject):
    """A refiner, the annotated images that it is trained on, and the localiser whose boxes it judges."""

    lowered: RefinerPlan
    measure: Measure = RIGHT_BOXES
    localiser: Localiser = field(kw_only=True)
    built = staticmethod(training_model)

    def targets(self) -> dict[str, Any]:
        """The fields of the spec that determine them."""
        return {"refiner": identifying(self.lowered.spec, (JUDGE, "name"))}

    def feed(self, recipe: Recipe, replicas: Replicas) -> RefinerFeed:
        """The input pipeline for training and watched images."""
        return RefinerFeed(recipe, self.source, self.preprocessing, replicas, self.lowered.spec, self.localiser)

    def judge(self, feed: RefinerFeed) -> EpochRefined:
        """The share of right boxes on the watched images."""
        return EpochRefined(self.lowered, self.preprocessing, self.localiser, feed.watched, feed.watches)

    def saved(self) -> keras.Model:
        """The float32 inference model that is saved."""
        return refiner_model(self.lowered, self.name)


class EpochRefined(RightBoxes):
    """The share of right boxes of a refiner in training."""

    def __init__(
        self, plan: RefinerPlan, preprocessing: Preprocessing, localiser: Localiser, split: Objects, watched: str
    ):
        super().__init__(split, watched, MOST, plan.spec.classes or 0)
        self.refiner, self.labels = Refiner(plan, None, preprocessing), wanted_classes(self.held)
        self.candidates = localiser.candidates(self.split, self.labels, plan.spec.count)

    def located(self, weights: Mapping[str, np.ndarray]) -> Located:
        """The likeliest of the candidates, judged anew."""
        self.refiner.load(weights)
        judged = self.refiner.judged(self.split, self.labels, self.candidates)
        return best_of(judged, self.labels, self.held.shape[1])


@dataclass(frozen=True)
class RefinerJob(ObjectJob):
    """Trains a refiner on annotated images by a recipe, whose `teacher` is the localiser."""

    spec: RefinerSpec
    task: ClassVar[str] = "refinement"
    command: ClassVar[tuple[str, ...]] = ("reskeras", "localise", "refine")
    only_classifiers: ClassVar[Mapping[str, tuple]] = {
        name: off for name, off in ONLY_CLASSIFIERS.items() if name != "teacher"
    }

    @cached_property
    def plan(self) -> Plan:
        """All units, checked against the recipe and the localiser."""
        self.localiser  # noqa: B018 - refuses what does not fit before anything is read or written
        return super().plan

    @cached_property
    def localiser(self) -> Localiser:
        """The one whose boxes are judged. ReskerasError for one of other classes."""
        path = self.recipe.teacher
        if path is None:
            raise ReskerasError("teacher: a refiner learns from the boxes of a localiser; set teacher to its run")
        run = LocaliserRun.named_by("teacher", path)
        check_classes("teacher", path, run.folder.classes(), self.source.name, self.source.classes)
        return run.localiser()

    @property
    def looks(self) -> int:
        """An epoch has this many regions of each training image."""
        return self.spec.regions

    @property
    def teacher_digest(self) -> str | None:
        """That of the localiser's weights."""
        parts = self.localiser.networks.parts.values()
        return digest_of({name: value for part in parts for name, value in read(part).items()})

    def subject(self, preprocessing: Preprocessing) -> RefinerSubject:
        """The refiner to fit. ReskerasError for images without objects to train on, or to test on."""
        check_images(self.source)
        name = built_name(self.spec)
        return RefinerSubject(self.lowered, name, self.source, preprocessing, own=self.own, localiser=self.localiser)

    def describe(self, preprocessing: Preprocessing) -> str:
        """How regions become the refiner's input, in one line."""
        height, width, _ = self.lowered.input_shape
        how = preprocessing.describe().rpartition(" centre, ")[2]
        return f"cut out the {self.lowered.spec.count} best boxes of a class, warp each to {height}x{width}, {how}"
