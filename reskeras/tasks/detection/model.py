"""DetectorPlan to Keras models: the networks of a detector, its inference model and its training model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from functools import cache
from typing import Any, ClassVar, TypeAlias, cast

import keras
import tensorflow as tf

from reskeras.graph.compile import PLAIN, Context, compile_plan
from reskeras.networks.detector_plan import OF_LEVELS, OF_REGIONS, DetectorPlan
from reskeras.networks.geometry import GEOMETRIES
from reskeras.networks.resize import Canvas
from reskeras.plans.plan import Plan
from reskeras.tasks.detection.anchors import anchor_fields
from reskeras.tasks.detection.layers import ByImage, Proposals, RegionMaps, RegionTargets, WithContext
from reskeras.tasks.detection.loss_layers import ProposalLosses, RegionLosses
from reskeras.tasks.detection.pyramid import Maps, Pyramid, Tensor
from reskeras.tasks.detection.weighting import NO_WEIGHTS, Weighting
from reskeras.training.trained_model import TrainedModel

LOSSES = ("rpn_objectness", "rpn_boxes", "region_classes", "region_boxes")
Anchors: TypeAlias = tuple[list[Tensor], list[Tensor]]  # objectness and deltas of each map


class Networks:
    """The compiled parts of a detector and the wiring between them, for Keras' symbolic tensors and for real ones.

    They take canvases of the plan's size. `context` is as in `compile_plan`; with `any_size` the parts applied to whole
    images take canvases of any size, for which `at` wires them.
    """

    def __init__(self, plan: DetectorPlan, context: Context = PLAIN, any_size: bool = False, cut: str | None = None):
        self.plan, self.levels, self.geometry = plan, plan.levels(), GEOMETRIES[plan.spec.geometry]
        self.parts = {}
        for name, part in plan.parts.items():
            several = name in OF_LEVELS and len(self.levels) > 1
            self.parts[name] = compile_plan(
                part,
                name,
                context,
                outputs=plan.ends if name == "shared" and plan.neck else None,
                cut=cut if holds(part, cut) else None,
                any_size=several or (any_size and name not in OF_REGIONS),
            )
        spec = plan.spec
        self.pyramid = Pyramid(plan.ends, self.levels, self.parts, context.precision) if plan.neck else None
        self.maps = self._maps()
        self.with_context = WithContext(name="with_context") if spec.regions.context else None
        self.by_image = {name: ByImage(name=f"{name}_by_image") for name in ("logits", "box_deltas")}

    def at(self, height: int, width: int) -> Networks:
        """The same parts, wired for canvases of that size."""
        if self.plan.canvas == (height, width):
            return self
        other = copy(self)
        other.plan = self.plan.at(height, width)
        other.levels = other.plan.levels()
        other.maps = other._maps()
        return other

    def anchored(self) -> dict[str, Any]:
        """The fields that layers on anchors share."""
        levels = [anchor_fields(self.plan, level) for level in self.levels]
        return {"levels": levels, "inside": self.geometry.inside}

    def features(self, image: Tensor) -> Maps:
        """The maps (B, h, w, C) of canvases (B, H, W, channels): one, or those of the pyramid."""
        shared = self.parts["shared"](image)
        return self.pyramid(shared) if self.pyramid else [shared]

    def anchors(self, features: Maps) -> Anchors:
        """Objectness (B, h, w, A) and deltas (B, h, w, 4 A) of the anchors of each map."""
        looked = [self.parts["rpn"](each) for each in features]
        objectness, deltas = ([self.parts[name](each) for each in looked] for name in ("objectness", "anchor_deltas"))
        return objectness, deltas

    def proposals(self, anchors: Anchors, window: Tensor, count: int, before: int) -> tuple[Tensor, ...]:
        """The `count` best proposals (B, count, 4) in windows (B, 4), of the `before` best anchors of each map, their
        probabilities (B, count), and the places of their maps (B, count)."""
        choose = Proposals(
            name="proposals",
            count=count,
            before=before,
            overlap=self.plan.spec.proposals.overlap,
            smallest=self.geometry.smallest,
            **self.anchored(),
        )
        objectness, deltas = anchors
        return choose([*objectness, *deltas, window])

    def pooled(self, features: Maps, boxes: Tensor, window: Tensor) -> Tensor:
        """Features of the heads for boxes (B, R, 4) of maps: (B * R, F), with context (B * R, 2 F)."""
        return self.of_maps(self.maps_of(features, boxes), self.whole(features, window), boxes)

    def maps_of(self, features: Maps, boxes: Tensor) -> Tensor:
        """The maps (B * R, size, size, C) of boxes (B, R, 4)."""
        pooled = [each for each, level in zip(features, self.levels, strict=True) if level.pooled]
        return self.maps([*pooled, boxes])

    def whole(self, features: Maps, window: Tensor) -> Tensor | None:
        """The RoI-pooled map (B, size, size, C) of the whole image, if the detector uses global context."""
        if self.with_context is None:
            return None
        return self.maps_of(features, keras.ops.expand_dims(window, 1))

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

    def _maps(self) -> RegionMaps:
        """What pools regions of the maps."""
        spec = self.plan.spec
        pooled = [level for level in self.levels if level.pooled]
        return RegionMaps(
            name="region_maps",
            pool=spec.regions.pool,
            size=spec.regions.size or 0,
            points=spec.regions.points,
            levels=[{"stride": level.stride, "offsets": level.offsets} for level in pooled],
            canonical=spec.neck.canonical if spec.neck else 0.0,
            least=self.geometry.least,
        )


def holds(part: Plan, endpoint: str | None) -> bool:
    return endpoint is not None and any(endpoint in (unit.name, unit.stage_name) for unit in part.units)


def detector_model(plan: DetectorPlan, name: str, context: Context = PLAIN) -> keras.Model:
    """The inference model, float32: {image (B, H, W, C) normalised, window (B, 4)} to proposals (B, R, 4) in pixels of
    the canvas, of several the largest, their objectness (B, R), logits (B, R, C + 1), box_deltas (B, R, 4 C)."""
    networks = Networks(plan, context)
    image = keras.Input(plan.input_shape, name="image", dtype="float32")
    window = keras.Input((4,), name="window", dtype="float32")
    features = networks.features(image)
    anchors, proposed = networks.anchors(features), plan.spec.proposals
    boxes, objectness, _ = networks.proposals(anchors, window, proposed.testing, proposed.tested)
    logits, deltas = networks.told(networks.pooled(features, boxes, window), boxes)
    return keras.Model(
        {"image": image, "window": window},
        {"proposals": boxes, "objectness": objectness, "logits": logits, "box_deltas": deltas},
        name=name,
    )


def training_model(
    plan: DetectorPlan,
    name: str,
    most: int,
    context: Context = PLAIN,
    cut: str | None = None,
    weighting: Weighting = NO_WEIGHTS,
) -> TrainedDetector:
    """The training model: {image, window, boxes (B, G, 4), labels int32 (B, G), seed int32 (B, 2)} to four losses, each
    (B,), where G is `most`, the largest number of objects of an image. All are minimised together (arXiv:1506.01497
    section 3.2, approximate joint training). It takes images on any of the detector's canvases, one in a batch. Of the
    `weighting` focal loss is of the objectness of anchors, and classes are weighted in that of the regions."""
    networks = Networks(plan, context, any_size=len(plan.canvases) > 1, cut=cut)
    model = TrainedDetector(*_wired(networks, most, weighting), name=name)
    others = [canvas for canvas in plan.canvases if canvas != plan.canvas]
    model.take(others, lambda canvas: keras.Model(*_wired(networks.at(*canvas), most, weighting), name=name))
    return model


def _wired(networks: Networks, most: int, weighting: Weighting) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs and losses of `training_model` on one canvas."""
    plan, spec = networks.plan, networks.plan.spec
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
        **networks.anchored(),
        positive=spec.proposals.positive,
        negative=spec.proposals.negative,
        sample=spec.proposals.sample,
        positives=max(round(spec.proposals.sample * spec.proposals.sample_share), 1),
        focal=weighting.focal,
    )([*anchors[0], *anchors[1], window, *objects])
    proposals, *_ = networks.proposals(anchors, window, spec.proposals.training, spec.proposals.before)
    regions, *targets = RegionTargets(
        name="region_targets",
        classes=classes,
        count=spec.regions.sample,
        positive=spec.regions.positive,
        positives=max(round(spec.regions.sample * spec.regions.sample_share), 1),
        deviations=spec.regions.deviations,
    )([proposals, *objects])
    told = networks.told(networks.pooled(features, regions, window), regions)
    about_regions = RegionLosses(
        name="region_losses", classes=classes, beta=spec.regions.beta, class_weights=weighting.class_weights
    )([*told, *targets])
    return inputs, dict(zip(LOSSES, (*about_anchors, *about_regions), strict=True))


class TrainedDetector(TrainedModel):
    """The Keras model of a detector in training: minimises the sum of its losses and logs each of them.

    A batch is (inputs, weights (B,)): images of weight 0 pad the last batch of an evaluation, or of a canvas.
    """

    losses_of: ClassVar[tuple[str, ...]] = LOSSES
    _others: Callable[[Canvas], keras.Model]

    def __init__(self, *arguments: Any, **keywords: Any):
        super().__init__(*arguments, **keywords)
        self.trackers = [keras.metrics.Mean(name=name) for name in self.losses_of]

    def take(self, canvases: Sequence[Canvas], wired: Callable[[Canvas], keras.Model]) -> None:
        """Also take images on these `canvases`, by `wired` models of the same weights, made when they are used."""
        made = cache(wired)
        # as plain attributes Keras would take the models' layers for more of its own
        self._others = lambda canvas: made(canvas) if canvas in canvases else self
        self.several_sizes = bool(canvases)

    def at_size(self, x: Any) -> keras.Model:
        """The model for a batch's canvas."""
        if not self.several_sizes:
            return self
        height, width = x["image"].shape[1:3]
        with tf.init_scope():
            return self._others((height, width))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> tf.Tensor:
        """The mean over images of the sum of their losses, divided by the number of replicas, as Keras expects.

        Images that only fill up a batch are in the mean with a loss of 0: the others count as in any other batch.
        """
        weights = tf.cast(y, tf.float32)
        total = tf.math.divide_no_nan(
            tf.reduce_sum(weights * tf.add_n([y_pred[name] for name in self.losses_of])),
            tf.cast(tf.size(weights), tf.float32),
        )
        return total / self.distribute_strategy.num_replicas_in_sync

    def track_loss(self, loss: tf.Tensor, x: Any, y: Any) -> None:
        """As the others, in the epoch's mean of the images that count."""
        real = tf.reduce_sum(y)
        self._loss_tracker.update_state(
            loss * tf.math.divide_no_nan(tf.cast(tf.size(y), tf.float32), real), sample_weight=real
        )

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """The running mean of each loss and of their sum."""
        for tracker, name in zip(self.trackers, self.losses_of, strict=True):
            tracker.update_state(y_pred[name], sample_weight=y)
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Losses of a batch (inputs, weights), ignoring rows of weight 0."""
        inputs, weights = data
        losses = self.at_size(inputs)(inputs, training=False)
        self._loss_tracker.update_state(tf.add_n([losses[name] for name in self.losses_of]), sample_weight=weights)
        return self.compute_metrics(inputs, weights, losses)
