"""Training of a detector: its subject and its job."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import keras

from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.networks.built_on import built_name
from reskeras.networks.detector import BACKBONE, DetectorSpec
from reskeras.networks.detector_plan import DetectorPlan
from reskeras.plans.plan import Plan
from reskeras.recipes.later import OF_DETECTORS, identifying
from reskeras.recipes.recipe import Recipe
from reskeras.tasks.detection.canvas import Canvases, describe
from reskeras.tasks.detection.coco_precision import has_pycocotools
from reskeras.tasks.detection.epoch_precision import EpochPrecision
from reskeras.tasks.detection.feed import DetectionFeed
from reskeras.tasks.detection.model import LOSSES, detector_model, training_model
from reskeras.tasks.detection.object_job import ObjectJob, ObjectSubject
from reskeras.tasks.detection.object_warnings import capped
from reskeras.training.strategy import Replicas
from reskeras.training.subject import Logs, Measure


def watched_score(logs: Logs) -> tuple[float, float]:
    """Score of an epoch, higher is better: mean average precision on the watched images, ties broken by the loss."""
    return float(logs.get("val_average_precision", 0.0)), -float(logs["val_loss"])


PRECISION = Measure(
    score=watched_score,
    watched_error=lambda logs: 1 - watched_score(logs)[0],
    training_error=None,
    shown=(
        ("loss", "loss", ".3f"),
        *((name, name.replace("_", " "), ".3f") for name in LOSSES),
        ("average_precision", "mAP", ".2%"),
        ("average_precision_50", "AP50", ".2%"),
    ),
    watched_shown=("loss", "average_precision", "average_precision_50"),
)


@dataclass(frozen=True)
class DetectorSubject(ObjectSubject):
    """A detector and the annotated images that it is trained on."""

    lowered: DetectorPlan
    measure: Measure = PRECISION
    built = staticmethod(training_model)

    def targets(self) -> dict[str, Any]:
        """The fields of the spec that determine them."""
        return {"detector": identifying(self.lowered.spec, (BACKBONE, "detections", "name"), OF_DETECTORS)}

    def feed(self, recipe: Recipe, replicas: Replicas) -> DetectionFeed:
        """The input pipeline for training and watched images."""
        return DetectionFeed(recipe, self.source, self.preprocessing, replicas, Canvases.of(self.lowered))

    def judge(self, feed: DetectionFeed) -> EpochPrecision | None:
        """COCO's mAP of the watched images, where pycocotools is installed."""
        if not has_pycocotools():
            return None
        classes = self.source.classes
        return EpochPrecision(self.lowered, self.preprocessing, classes, feed.watched, feed.watches)

    def saved(self) -> keras.Model:
        """The float32 inference model that is saved: images to proposals, their logits and box deltas."""
        return detector_model(self.lowered, self.name)


@dataclass(frozen=True)
class DetectorJob(ObjectJob):
    """Trains a detector on annotated images by a recipe."""

    spec: DetectorSpec
    task: ClassVar[str] = "detection"
    command: ClassVar[tuple[str, ...]] = ("reskeras", "detect", "train")

    @cached_property
    def plan(self) -> Plan:
        """All units of the detector; the others than those of its shared part are computed once per region."""
        if self.recipe.holdout and not has_pycocotools():
            raise ReskerasError(
                "holdout: the best epoch is picked by COCO's mAP, which needs pycocotools; pip install "
                "'reskeras[detect]', or set holdout: 0"
            )
        return super().plan

    @property
    def notes(self) -> tuple[str, ...]:
        """Images with more objects than the detector finds, and classes that are not tested."""
        return (*capped((self.source.training_images("train"), self.source.test), self.fitted), *super().notes)

    def subject(self, preprocessing: Preprocessing) -> DetectorSubject:
        """The detector to fit."""
        return DetectorSubject(self.lowered, built_name(self.spec), self.source, preprocessing, own=self.own)

    def describe(self, preprocessing: Preprocessing) -> str:
        """How images become the detector's input, in one line."""
        return describe(preprocessing, self.lowered.spec.resize)
