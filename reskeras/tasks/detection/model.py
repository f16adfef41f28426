"""DetectorPlan to Keras models: the networks of a detector, its inference model and its training model."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypeAlias, cast

import keras
import tensorflow as tf

from reskeras.graph.compile import PLAIN, Context, compile_plan
from reskeras.networks.detector_plan import DetectorPlan
from reskeras.plans.plan import Plan
from reskeras.tasks.detection.anchors import anchor_fields
from reskeras.tasks.detection.layers import (
    ByImage,
    ProposalLosses,
    Proposals,
    RegionLosses,
    RegionMaps,
    RegionTargets,
    WithContext,
)
from reskeras.training.trained_model import TrainedModel

OF_IMAGES = ("shared", "rpn", "objectness", "anchor_deltas")  # the parts that are applied to whole images
LOSSES = ("rpn_objectness", "rpn_boxes", "region_classes", "region_boxes")
Tensor: TypeAlias = "keras.KerasTensor | tf.Tensor"


class Networks:
    """The compiled parts of a detector and the wiring between them, for Keras' symbolic tensors and for real ones.

    `context` is as in `compile_plan`; with `any_size` the parts applied to whole images take canvases of any size.
    """

    def __init__(self, plan: DetectorPlan, context: Context = PLAIN, any_size: bool = False, cut: str | None = None):
        self.plan = plan
        self.parts = {
            name: compile_plan(
                part, name, context, cut=cut if _holds(part, cut) else None, any_size=any_size and name in OF_IMAGES
            )
            for name, part in plan.parts.items()
        }
        spec = plan.spec
        self.maps = self.maps_on()
        self.with_context = WithContext(name="with_context") if spec.regions.context else None
        self.by_image = {name: ByImage(name=f"{name}_by_image") for name in ("logits", "box_deltas")}

    def maps_on(self, height: int | None = None, width: int | None = None) -> RegionMaps:
        """What pools regions of the shared map of a canvas, by default of the detector's own size."""
        regions, torchvision = self.plan.spec.regions, self.plan.spec.geometry == "torchvision"
        return RegionMaps(
            name="region_maps",
            pool=regions.pool,
            size=regions.size,
            points=regions.points,
            least=float(torchvision),
            **asdict(self.plan.cells(height, width)),
        )

    def features(self, image: Tensor) -> Tensor:
        """The shared map (B, h, w, C) of canvases (B, H, W, channels)."""
        return self.parts["shared"](image)

    def anchors(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Objectness (B, h, w, A) and deltas (B, h, w, 4 A) of the anchors of a shared map."""
        looked = self.parts["rpn"](features)
        return self.parts["objectness"](looked), self.parts["anchor_deltas"](looked)

    def proposals(self, anchors: tuple[Tensor, Tensor], window: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The `count` best proposals (B, count, 4) in windows (B, 4), and their probabilities (B, count)."""
        spec = self.plan.spec
        choose = Proposals(
            name="proposals",
            count=count,
            **anchor_fields(self.plan),
            before=spec.proposals.before,
            overlap=spec.proposals.overlap,
        )
        return choose([*anchors, window])

    def pooled(self, features: Tensor, boxes: Tensor, window: Tensor) -> Tensor:
        """Features of the last stage for boxes (B, R, 4) of a shared map: (B * R, F), with context (B * R, 2 F)."""
        return self.of_maps(self.maps([features, boxes]), self.whole(features, window), boxes)

    def whole(self, features: Tensor, window: Tensor) -> Tensor | None:
        """The RoI-pooled map (B, size, size, C) of the whole image, if the detector uses global context."""
        if self.with_context is None:
            return None
        return self.maps([features, keras.ops.expand_dims(window, 1)])

    def of_maps(self, maps: Tensor, whole: Tensor | None, boxes: Tensor) -> Tensor:
        """As `pooled`, from the regions' maps (B * R, size, size, C) and the result of `whole`."""
        if whole is None or self.with_context is None:
            return self.parts["regions"](maps)
        # in one batch: separate calls would pull batch norm's moving statistics between the two distributions
        return self.with_context([self.parts["regions"](keras.ops.concatenate([maps, whole])), boxes])

    def told(self, pooled: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, R, C + 1) and box deltas (B, R, 4 C), float32, of pooled features of boxes (B, R, 4)."""
        logits, deltas = (layer([self.parts[name](pooled), boxes]) for name, layer in self.by_image.items())
        return logits, deltas


def _holds(part: Plan, endpoint: str | None) -> bool:
    return endpoint is not None and any(endpoint in (unit.name, unit.stage_name) for unit in part.units)


def detector_model(plan: DetectorPlan, name: str, context: Context = PLAIN) -> keras.Model:
    """The inference model, float32: {image (B, H, W, C) normalised, window (B, 4)} to proposals (B, R, 4) in pixels of
    the canvas, their objectness (B, R), logits (B, R, C + 1), box_deltas (B, R, 4 C)."""
    networks = Networks(plan, context)
    image = keras.Input(plan.input_shape, name="image", dtype="float32")
    window = keras.Input((4,), name="window", dtype="float32")
    features = networks.features(image)
    boxes, objectness = networks.proposals(networks.anchors(features), window, plan.spec.proposals.testing)
    logits, deltas = networks.told(networks.pooled(features, boxes, window), boxes)
    return keras.Model(
        {"image": image, "window": window},
        {"proposals": boxes, "objectness": objectness, "logits": logits, "box_deltas": deltas},
        name=name,
    )


def training_model(
    plan: DetectorPlan, name: str, most: int, context: Context = PLAIN, cut: str | None = None
) -> TrainedDetector:
    """The training model: {image, window, boxes (B, G, 4), labels int32 (B, G), seed int32 (B, 2)} to four losses, each
    (B,), where G is `most`, the largest number of objects of an image. All are minimised together (arXiv:1506.01497
    section 3.2, approximate joint training)."""
    networks, spec = Networks(plan, context, cut=cut), plan.spec
    classes = cast(int, spec.classes)  # the spec of a plan has everything decided
    shapes = {"image": plan.input_shape, "window": (4,), "boxes": (most, 4), "labels": (most,), "seed": (2,)}
    inputs = {
        key: keras.Input(shape, name=key, dtype="int32" if key in ("labels", "seed") else "float32")
        for key, shape in shapes.items()
    }
    window, objects = inputs["window"], [inputs[key] for key in ("boxes", "labels", "seed")]
    features = networks.features(inputs["image"])
    anchors = networks.anchors(features)
    about_anchors = ProposalLosses(
        name="rpn_losses",
        **anchor_fields(plan),
        positive=spec.proposals.positive,
        negative=spec.proposals.negative,
        sample=spec.proposals.sample,
        positives=max(round(spec.proposals.sample * spec.proposals.sample_share), 1),
    )([*anchors, window, *objects])
    proposals, _ = networks.proposals(anchors, window, spec.proposals.training)
    regions, *targets = RegionTargets(
        name="region_targets",
        classes=classes,
        count=spec.regions.sample,
        positive=spec.regions.positive,
        positives=max(round(spec.regions.sample * spec.regions.sample_share), 1),
        deviations=spec.regions.deviations,
    )([proposals, *objects])
    told = networks.told(networks.pooled(features, regions, window), regions)
    about_regions = RegionLosses(name="region_losses", classes=classes, beta=spec.regions.beta)([*told, *targets])
    losses = dict(zip(LOSSES, (*about_anchors, *about_regions), strict=True))
    return TrainedDetector(inputs, losses, name=name)


class TrainedDetector(TrainedModel):
    """The Keras model of a detector in training: minimises the sum of its losses and logs each of them.

    A batch is (inputs, weights (B,)): images of weight 0 pad the last batch of an evaluation.
    """

    def __init__(self, *arguments: Any, **keywords: Any):
        super().__init__(*arguments, **keywords)
        self.trackers = [keras.metrics.Mean(name=name) for name in LOSSES]

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> tf.Tensor:
        """The mean over images of the sum of their losses, divided by the number of replicas, as Keras expects."""
        weights = tf.cast(y, tf.float32)
        total = tf.math.divide_no_nan(
            tf.reduce_sum(weights * tf.add_n([y_pred[name] for name in LOSSES])), tf.reduce_sum(weights)
        )
        return total / self.distribute_strategy.num_replicas_in_sync

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """The running mean of each loss and of their sum."""
        for tracker, name in zip(self.trackers, LOSSES, strict=True):
            tracker.update_state(y_pred[name], sample_weight=y)
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Losses of a batch (inputs, weights), ignoring rows of weight 0."""
        inputs, weights = data
        losses = self(inputs, training=False)
        self._loss_tracker.update_state(tf.add_n([losses[name] for name in LOSSES]), sample_weight=weights)
        return self.compute_metrics(inputs, weights, losses)
