"""Training of a detector: its subject and its job."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Source
from reskeras.errors import ReskerasError
from reskeras.networks.detector import DetectorSpec, detector_name
from reskeras.networks.detector_plan import DetectorPlan, lower_detector
from reskeras.networks.overrides import laid_over
from reskeras.plans.plan import Plan
from reskeras.plans.plan_data import unit_data
from reskeras.recipes.later import OF_DETECTORS, identifying
from reskeras.recipes.loss import AUTO
from reskeras.recipes.recipe import Recipe
from reskeras.tasks.detection.canvas import Canvases, describe
from reskeras.tasks.detection.coco_precision import has_pycocotools
from reskeras.tasks.detection.epoch_precision import EpochPrecision
from reskeras.tasks.detection.feed import DetectionFeed
from reskeras.tasks.detection.model import LOSSES, TrainedDetector, detector_model, training_model
from reskeras.tasks.detection.object_warnings import capped, untested
from reskeras.tasks.detection.objects import Objects
from reskeras.training.form import training_context
from reskeras.training.job import Job
from reskeras.training.optimizer import optimizer_of
from reskeras.training.own_parts import NO_PARTS, OwnParts
from reskeras.training.strategy import Replicas
from reskeras.training.subject import Logs, Measure
from reskeras.training.transfer import freeze

# layers that a pretrained backbone lacks, or whose shapes depend on classes and anchors
FRESH = ("rpn_pre_bn", "rpn_conv", "objectness", "anchor_deltas", "logits", "box_deltas")
OF_NECKS = ("lateral*", "smooth*", "rpn_conv*", "region_*")  # those of a detector with a neck that a classifier lacks
# fields of a recipe that do not apply to detectors, and the values that leave them off
ONLY_CLASSIFIERS: dict[str, tuple] = {
    "label_smoothing": (0.0,),
    "class_weights": ("none",),
    "test_crop": (1.0,),
    "sizes": ((),),
    "xla": ("auto", False),
}


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
class DetectorSubject:
    """A detector and the annotated images that it is trained on."""

    detector: DetectorPlan
    name: str
    source: Source[Objects]
    preprocessing: Preprocessing
    measure: Measure = PRECISION
    own: OwnParts = NO_PARTS

    @property
    def plan(self) -> Plan:
        """All units of the detector."""
        return self.detector.everything

    def described(self) -> dict[str, Any]:
        """Units, canvas, and everything that determines the targets, for the fingerprint of checkpoints."""
        return {
            "units": [unit_data(unit) for unit in self.plan.units],
            "input": self.plan.input_shape,
            "detector": identifying(self.detector.spec, ("backbone", "detections", "name"), OF_DETECTORS),
        }

    def feed(self, recipe: Recipe, replicas: Replicas) -> DetectionFeed:
        """The input pipeline for training and watched images."""
        return DetectionFeed(recipe, self.source, self.preprocessing, replicas, Canvases.of(self.detector))

    def compiled(self, recipe: Recipe, steps: int, synchronized: bool = False) -> TrainedDetector:
        """The training model in the recipe's precision and form, with its optimiser."""
        most = max(self.source.training_images("train").most, self.source.test.most)
        model = training_model(
            self.detector, self.name, most, training_context(self.plan, recipe, synchronized), recipe.freeze
        )
        freeze(model, self.detector.network, recipe.freeze, recipe.frozen_bn)
        # shapes inside follow what a batch holds, which XLA cannot compile
        model.compile(optimizer=optimizer_of(model, recipe, steps, self.own.optimizer), jit_compile=False)
        return model

    def judge(self, feed: DetectionFeed) -> EpochPrecision | None:
        """COCO's mAP of the watched images, where pycocotools is installed."""
        if not has_pycocotools():
            return None
        classes = self.source.classes
        return EpochPrecision(self.detector, self.preprocessing, classes, feed.watched, feed.watches)

    def saved(self) -> keras.Model:
        """The float32 inference model that is saved: images to proposals, their logits and box deltas."""
        return detector_model(self.detector, self.name)


@dataclass(frozen=True)
class DetectorJob(Job):
    """Trains a detector on annotated images by a recipe. ReskerasError when they contradict each other."""

    spec: DetectorSpec
    source: Source[Objects]
    task: ClassVar[str] = "detection"
    command: ClassVar[tuple[str, ...]] = ("reskeras", "detect", "train")

    @cached_property
    def fitted(self) -> DetectorSpec:
        """The detector with the classes of the data, and the recipe's stochastic depth."""
        spec, classes = self.spec, len(self.source.classes)
        if spec.sparse().get("classes", classes) != classes:
            raise ReskerasError(f"classes: {spec.classes} contradicts {self.source.name}, which has {classes} classes")
        if spec.channels() != self.source.channels:
            raise ReskerasError(
                f"backbone.input_shape: {spec.channels()} channels contradict {self.source.name}, "
                f"whose images have {self.source.channels}"
            )
        if self.recipe.drop_path is not None and spec.backbone.drop_path is None:
            spec = laid_over(spec, {"backbone.drop_path": self.recipe.drop_path})
        return laid_over(spec, {"classes": classes})

    @cached_property
    def detector(self) -> DetectorPlan:
        """The plans of the detector's parts."""
        return lower_detector(self.fitted)

    @cached_property
    def plan(self) -> Plan:
        """All units of the detector."""
        _check_recipe(self.recipe, self.own)
        plan = self.detector.everything
        self.recipe.check(plan)
        if self.recipe.freeze is not None:
            self.detector.network.endpoint(
                self.recipe.freeze, "freeze"
            )  # the detector's own layers are always trainable
        return plan

    @property
    def computed_whole(self) -> Plan:
        """The part that is computed once per image; the others are computed once per region."""
        return self.detector.shared

    @property
    def name(self) -> str:
        """`resnet-18-detector-bccd`."""
        return f"{detector_name(self.spec)}-{Path(self.source.name.replace(':', '/')).name}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Images with more objects than the detector finds, and classes that are not tested."""
        train, test = self.source.training_images("train"), self.source.test
        counts = np.bincount(test.labels[~test.ignored], minlength=len(self.source.classes)).tolist()
        classes = dict(zip(self.source.classes, counts, strict=True))
        return (*capped((train, test), self.fitted), *untested(classes))

    def preprocessing(self) -> Preprocessing:
        """How images are normalised, measured on the training images."""
        height, width, channels = self.detector.input_shape
        images = self.source.training_images("train").images()
        return Preprocessing.fit(images, height, width, channels, self.recipe.normalise)

    def subject(self, preprocessing: Preprocessing) -> DetectorSubject:
        """The detector to fit."""
        return DetectorSubject(self.detector, detector_name(self.spec), self.source, preprocessing, own=self.own)

    def describe(self, preprocessing: Preprocessing) -> str:
        """How images become the detector's input, in one line."""
        return describe(preprocessing, self.detector.spec.resize)


def _check_recipe(recipe: Recipe, own: OwnParts) -> None:
    """ReskerasError for what does not apply to detectors."""
    for name in own.described():
        if name != "optimizer":
            raise ReskerasError(f"{name}: a function of your own is only for classifiers")
    if recipe.normalise == "per_pixel_mean":
        raise ReskerasError("normalise: 'per_pixel_mean' is only for images of one size; use per_channel or scale")
    if recipe.holdout and not has_pycocotools():
        raise ReskerasError(
            "holdout: an epoch is picked by COCO's mAP, which needs pycocotools; pip install 'reskeras[detect]', or "
            "set holdout: 0"
        )
    if recipe.loss != AUTO:
        raise ReskerasError(f"loss: {recipe.loss.kind!r} is only for classifiers")
    for field, off in ONLY_CLASSIFIERS.items():
        if getattr(recipe, field) not in off:
            raise ReskerasError(f"{field}: {getattr(recipe, field)!r} is only for classifiers")
