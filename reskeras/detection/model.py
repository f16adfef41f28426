"""DetectorPlan to Keras models: the networks of a detector, what it computes of an image, and what it learns from."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from reskeras.detection.layers import (
    ByImage,
    ProposalLosses,
    Proposals,
    RegionLosses,
    RegionMaps,
    RegionTargets,
)
from reskeras.graph.compile import compile_plan
from reskeras.spec.detector import DetectorPlan
from reskeras.training.trained_model import TrainedModel

LOSSES = ("rpn_objectness", "rpn_boxes", "region_classes", "region_boxes")
Tensor = keras.KerasTensor


class Networks:
    """The compiled parts of a detector, and the wiring between them that training and testing share.

    `form`, `seed`, `precision`, `synchronized`, `recompute` and `cut` are those of `compile_plan`.
    """

    def __init__(self, plan: DetectorPlan, **how: Any):
        self.plan, self.spec = plan, plan.spec
        ends = {"cut": how.pop("cut", None)}
        self.parts = {name: compile_plan(part, name, **how, **(ends if _holds(part, ends["cut"]) else {}))
                      for name, part in plan.parts.items()}
        self.image = keras.Input(plan.input_shape, name="image", dtype="float32")
        self.window = keras.Input((4,), name="window", dtype="float32")
        self.features = self.parts["shared"](self.image)
        looked = self.parts["rpn"](self.features)
        self.objectness, self.moves = self.parts["objectness"](looked), self.parts["anchor_deltas"](looked)

    def proposals(self, count: int) -> tuple[Tensor, Tensor]:
        """The `count` best boxes of an image, and their probabilities."""
        spec = self.spec
        return Proposals(name="proposals", sizes=spec.anchors.sizes, ratios=spec.anchors.ratios,
                         stride=self.plan.stride, before=spec.proposals.before, count=count,
                         overlap=spec.proposals.overlap)([self.objectness, self.moves, self.window])

    def regions(self, features: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, R, C + 1) and box deltas (B, R, 4 C) of boxes (B, R, 4) of maps."""
        spec = self.spec.regions
        maps = RegionMaps(name="region_maps", pool=spec.pool, size=spec.size, points=spec.points,
                          stride=self.plan.stride)([features, boxes])
        pooled = self.parts["regions"](maps)
        return tuple(ByImage(name=f"{name}_by_image", count=boxes.shape[1])(self.parts[name](pooled))
                     for name in ("logits", "box_deltas"))


def _holds(part: Any, endpoint: str | None) -> bool:
    return endpoint is not None and any(endpoint in (unit.name, unit.stage) for unit in part.units)


def detector_model(plan: DetectorPlan, name: str, **how: Any) -> keras.Model:
    """What a detector computes of an image, float32: {image (B, H, W, C) normalised, window (B, 4)} to proposals
    (B, R, 4) in pixels of the canvas, their objectness (B, R), logits (B, R, C + 1), box_deltas (B, R, 4 C)."""
    networks = Networks(plan, **how)
    boxes, objectness = networks.proposals(plan.spec.proposals.testing)
    logits, deltas = networks.regions(networks.features, boxes)
    return keras.Model({"image": networks.image, "window": networks.window},
                       {"proposals": boxes, "objectness": objectness, "logits": logits, "box_deltas": deltas},
                       name=name)


def training_model(plan: DetectorPlan, name: str, most: int, **how: Any) -> TrainedDetector:
    """A detector that gives its losses, each (B,), of {image, window, boxes (B, G, 4), labels int32 (B, G), seed int32
    (B, 2)}, where G is `most`, the largest number of objects of an image: end to end, all four at once (arXiv:1506.01497 section 3.2, approximate joint training)."""
    networks, spec = Networks(plan, **how), plan.spec
    boxes = keras.Input((most, 4), name="boxes", dtype="float32")
    labels = keras.Input((most,), name="labels", dtype="int32")
    seed = keras.Input((2,), name="seed", dtype="int32")
    about_anchors = ProposalLosses(
        name="rpn_losses", sizes=spec.anchors.sizes, ratios=spec.anchors.ratios, stride=plan.stride,
        positive=spec.proposals.positive, negative=spec.proposals.negative, sample=spec.proposals.sample,
        positives=round(spec.proposals.sample * spec.proposals.sample_share),
    )([networks.objectness, networks.moves, networks.window, boxes, labels, seed])
    proposals, _ = networks.proposals(spec.proposals.training)
    regions, *targets = RegionTargets(
        name="region_targets", classes=spec.classes, count=spec.regions.sample, positive=spec.regions.positive,
        positives=round(spec.regions.sample * spec.regions.sample_share), deviations=spec.regions.deviations,
    )([proposals, boxes, labels, seed])
    logits, deltas = networks.regions(networks.features, regions)
    about_regions = RegionLosses(name="region_losses", classes=spec.classes)([logits, deltas, *targets])
    inputs = {"image": networks.image, "window": networks.window, "boxes": boxes, "labels": labels, "seed": seed}
    return TrainedDetector(inputs, dict(zip(LOSSES, (*about_anchors, *about_regions), strict=True)), name=name)


class TrainedDetector(TrainedModel):
    """A detector while it trains: the sum of its losses is minimised, and each of them is logged.

    A batch is (inputs, weights (B,)): images of weight 0 fill up the last batch of an evaluation.
    """

    def __init__(self, *arguments: Any, **keywords: Any):
        super().__init__(*arguments, **keywords)
        self.trackers = [keras.metrics.Mean(name=name) for name in LOSSES]

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
                     training: bool = True) -> tf.Tensor:
        """The mean over the images of the sum of their losses; divided by the replicas, as Keras wants it."""
        weights = tf.cast(y, tf.float32)
        total = tf.math.divide_no_nan(tf.reduce_sum(weights * tf.add_n([y_pred[name] for name in LOSSES])),
                                      tf.reduce_sum(weights))
        return total / self.distribute_strategy.num_replicas_in_sync

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """The mean of each loss so far, and of their sum."""
        for tracker, name in zip(self.trackers, LOSSES, strict=True):
            tracker.update_state(y_pred[name], sample_weight=y)
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Losses of a batch (inputs, weights), nothing of rows of weight 0."""
        inputs, weights = data
        losses = self(inputs, training=False)
        self._loss_tracker.update_state(tf.add_n([losses[name] for name in LOSSES]), sample_weight=weights)
        return self.compute_metrics(inputs, weights, losses)
