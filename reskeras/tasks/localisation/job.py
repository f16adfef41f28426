"""Training of a localiser: its subject and its job."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np

from reskeras.data.preprocessing import Preprocessing
from reskeras.networks.built_on import built_name
from reskeras.networks.localiser import TRUNK, LocaliserSpec
from reskeras.networks.localiser_plan import LocaliserPlan
from reskeras.recipes.later import identifying
from reskeras.recipes.recipe import Recipe
from reskeras.tasks.detection.canvas import Canvases
from reskeras.tasks.detection.epoch_precision import some_of
from reskeras.tasks.detection.object_job import ObjectJob, ObjectSubject
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.localisation.feed import LocaliserFeed
from reskeras.tasks.localisation.localiser import Localiser, Located
from reskeras.tasks.localisation.model import LOSSES, localiser_model, training_model
from reskeras.tasks.localisation.rule import OVERLAP, check_images, covered
from reskeras.training.strategy import Replicas
from reskeras.training.subject import Logs, Measure

LOCALISED = "localised"  # the share of right boxes where the class is given
MOST = 1000  # images; more say little more about an epoch, and take longer


def watched_score(logs: Logs) -> tuple[float, float]:
    """Score of an epoch, higher is better: the share of right boxes on the watched images, ties broken by the loss."""
    return float(logs[f"val_{LOCALISED}"]), -float(logs["val_loss"])


RIGHT_BOXES = Measure(
    score=watched_score,
    watched_error=lambda logs: 1 - watched_score(logs)[0],
    training_error=None,
    shown=(("loss", "loss", ".3f"), *((name, name, ".3f") for name in LOSSES), (LOCALISED, "right boxes", ".2%")),
    watched_shown=("loss", LOCALISED),
)


@dataclass(frozen=True)
class LocaliserSubject(ObjectSubject):
    """A localiser and the annotated images that it is trained on."""

    lowered: LocaliserPlan
    measure: Measure = RIGHT_BOXES
    built = staticmethod(training_model)

    def targets(self) -> dict[str, Any]:
        """The fields of the spec that determine them."""
        return {"localiser": identifying(self.lowered.spec, (TRUNK, "name"))}

    def feed(self, recipe: Recipe, replicas: Replicas) -> LocaliserFeed:
        """The input pipeline for training and watched images."""
        canvases = Canvases((self.lowered.canvas,), self.lowered.sides)
        return LocaliserFeed(recipe, self.source, self.preprocessing, replicas, canvases)

    def judge(self, feed: LocaliserFeed) -> EpochLocalised:
        """The share of right boxes on the watched images."""
        return EpochLocalised(self.lowered, self.preprocessing, feed.watched, feed.watches)

    def saved(self) -> keras.Model:
        """The float32 inference model that is saved."""
        return localiser_model(self.lowered, self.name)


class RightBoxes(ABC):
    """The share of right boxes, where the class is given, of a network in training: of all images of `split`, which are
    called `watched`, or of `most` evenly spaced ones."""

    def __init__(self, split: Objects, watched: str, most: int, classes: int):
        self.split, self.told = some_of(split, most, watched, "right boxes")
        self.held = self.split.held(classes)

    @abstractmethod
    def located(self, weights: Mapping[str, np.ndarray]) -> Located:
        """The best box of each class that an image holds, by the network with these weights."""

    def __call__(self, weights: Mapping[str, np.ndarray]) -> dict[str, float]:
        """`val_localised` of the network with these weights; 0 where the images hold no object."""
        right = covered(self.split, self.located(weights).boxes[:, :, 0])[self.held] >= OVERLAP
        return {f"val_{LOCALISED}": float(right.mean()) if len(right) else 0.0}


class EpochLocalised(RightBoxes):
    """That of a localiser, by centre crops."""

    def __init__(self, plan: LocaliserPlan, preprocessing: Preprocessing, split: Objects, watched: str):
        super().__init__(split, watched, MOST, plan.spec.classes or 0)
        self.localiser = Localiser(plan, None, preprocessing)

    def located(self, weights: Mapping[str, np.ndarray]) -> Located:
        """The likeliest boxes."""
        self.localiser.load(weights)
        return self.localiser.look(self.split)


@dataclass(frozen=True)
class LocaliserJob(ObjectJob):
    """Trains a localiser on annotated images by a recipe."""

    spec: LocaliserSpec
    task: ClassVar[str] = "localisation"
    command: ClassVar[tuple[str, ...]] = ("reskeras", "localise", "train")

    def subject(self, preprocessing: Preprocessing) -> LocaliserSubject:
        """The localiser to fit. ReskerasError for images without objects to train on, or to test on."""
        check_images(self.source)
        return LocaliserSubject(self.lowered, built_name(self.spec), self.source, preprocessing, own=self.own)

    def describe(self, preprocessing: Preprocessing) -> str:
        """How images become the localiser's input, in one line."""
        height, width, _ = self.lowered.input_shape
        how = preprocessing.describe().rpartition(" centre, ")[2]
        return f"scale to a shorter side of {self.lowered.spec.shorter} pixels, crop {height}x{width}, {how}"
