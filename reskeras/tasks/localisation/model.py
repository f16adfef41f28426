"""LocaliserPlan to Keras models: the networks of a localiser, its inference model and its training model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import keras
import tensorflow as tf

from reskeras.graph.compile import PLAIN, Context, compile_plan
from reskeras.networks.geometry import GEOMETRIES
from reskeras.networks.localiser_plan import LocaliserPlan
from reskeras.tasks.detection.anchor_sampling import AnchorSampling, smooth_l1
from reskeras.tasks.detection.anchors import anchor_fields, anchor_grid
from reskeras.tasks.detection.layers import REGISTERED, Float32Layer, in_rows
from reskeras.tasks.detection.model import TrainedDetector, holds
from reskeras.tasks.detection.weighting import NO_WEIGHTS, Weighting, logistic_losses, weights_of

LOSSES = ("objectness", "boxes")
BACKGROUND = -1  # the label of what is on no object


class Networks:
    """The compiled parts of a localiser and the wiring between them, for Keras' symbolic tensors and for real ones;
    with `any_size` they take images of any size."""

    def __init__(self, plan: LocaliserPlan, context: Context = PLAIN, any_size: bool = False, cut: str | None = None):
        self.parts = {
            name: compile_plan(part, name, context, cut=cut if holds(part, cut) else None, any_size=any_size)
            for name, part in plan.parts.items()
        }

    def __call__(self, image: Any) -> tuple[Any, Any]:
        """Logits (B, h, w, A * C) and deltas (B, h, w, A * K * 4) of images (B, H, W, channels), normalised, where K is
        the number of classes, or 1."""
        seen = self.parts["rpn"](self.parts["shared"](image))
        return self.parts["objectness"](seen), self.parts["anchor_deltas"](seen)


@REGISTERED
class LocaliserLosses(Float32Layer):
    """The two losses per image, (B,), over a sample of anchors: the cross-entropies of the logistic units of all
    classes, summed over these, and smooth L1 of the deltas of the object's class. An anchor on an object is positive
    for its class alone, one on background for none.

    Takes logits (B, H, W, A * C), deltas (B, H, W, A * `boxes` * 4), windows (B, 4), objects' boxes (B, G, 4), labels
    (B, G) and seeds (B, 2). `level` is what `anchor_grid` needs besides the size of the map.
    With `focal` and `class_weights` as in `losses_of_classes`; focal losses are divided by the number of positives.
    """

    def __init__(
        self,
        *,
        name: str,
        level: dict[str, Any],
        classes: int,
        boxes: int,
        beta: float,
        positive: float,
        negative: float,
        sample: int,
        positives: int,
        inside: float,
        focal: Mapping[str, Any] | None = None,
        class_weights: Sequence[float] | None = None,
        **base: Any,
    ):
        sampling = AnchorSampling(positive, negative, sample, positives, inside)
        how = {**sampling._asdict(), "focal": focal, "class_weights": class_weights}
        super().__init__(name, level=dict(level), classes=classes, boxes=boxes, beta=beta, **how, **base)
        self.sampling = sampling

    def call(self, inputs: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Both losses."""
        logits, deltas, window, boxes, labels, seeds = inputs
        anchors = anchor_grid(logits.shape[1], logits.shape[2], **self.level)
        sample = self.sampling(anchors, window, boxes, labels, seeds)
        own = tf.gather(labels, sample.object, batch_dims=1)
        told, moves = (
            tf.gather(in_rows(values, width), sample.chosen, batch_dims=1)
            for values, width in ((logits, self.classes), (deltas, 4 * self.boxes))
        )
        labels = tf.where(sample.positive > 0, own, BACKGROUND)
        weighting = Weighting(self.focal, self.class_weights)
        entropies, offsets = losses_of_classes(told, moves, labels, sample.deltas, self.boxes, self.beta, weighting)
        return sample.mean(entropies, of_positives=bool(self.focal)), sample.mean(offsets)


def losses_of_classes(
    logits: tf.Tensor,
    deltas: tf.Tensor,
    labels: tf.Tensor,
    wanted: tf.Tensor,
    boxes: int,
    beta: float,
    weighting: Weighting = NO_WEIGHTS,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Of anchors or regions (...) the cross-entropies of the logistic units of all classes, summed over these, of
    logits (..., C); and smooth L1 of those deltas, of (..., boxes * 4), that belong to the class, against the wanted
    ones (..., 4). `labels` int32 (...) are classes, or BACKGROUND, which is of no class and has no deltas. With a
    `weighting` the units have focal loss, and their sum is weighted by the class."""
    entropies = logistic_losses(tf.one_hot(labels, logits.shape[-1]), logits, weighting.focal)
    entropies = tf.reduce_sum(entropies, axis=-1)
    if weighting.class_weights:
        entropies *= weights_of(labels, weighting.class_weights)
    moves = tf.reshape(deltas, tf.concat([tf.shape(labels), [boxes, 4]], axis=0))
    moves = tf.gather(moves, tf.clip_by_value(labels, 0, boxes - 1), batch_dims=labels.shape.rank)
    is_object = tf.cast(labels != BACKGROUND, tf.float32)
    return entropies, smooth_l1(moves - wanted, beta) * is_object


class TrainedLocaliser(TrainedDetector):
    """The Keras model of a localiser, or of a refiner, in training."""

    losses_of: ClassVar[tuple[str, ...]] = LOSSES


def localiser_model(plan: LocaliserPlan, name: str, context: Context = PLAIN) -> keras.Model:
    """The inference model of a crop, float32: {image (B, H, W, C) normalised} to what `Networks` tells of it."""
    image = keras.Input(plan.input_shape, name="image", dtype="float32")
    logits, deltas = Networks(plan, context)(image)
    return keras.Model({"image": image}, {"objectness": logits, "anchor_deltas": deltas}, name=name)


def training_model(
    plan: LocaliserPlan,
    name: str,
    most: int,
    context: Context = PLAIN,
    cut: str | None = None,
    weighting: Weighting = NO_WEIGHTS,
) -> TrainedLocaliser:
    """The training model: {image, window, boxes (B, G, 4), labels int32 (B, G), seed int32 (B, 2)} to two losses, each
    (B,), where G is `most`, the largest number of objects of an image."""
    spec, [level] = plan.spec, plan.levels()
    shapes = {"image": plan.input_shape, "window": (4,), "boxes": (most, 4), "labels": (most,), "seed": (2,)}
    inputs = {
        key: keras.Input(shape, name=key, dtype="int32" if key in ("labels", "seed") else "float32")
        for key, shape in shapes.items()
    }
    told = Networks(plan, context, cut=cut)(inputs["image"])
    losses = LocaliserLosses(
        name="losses",
        level=anchor_fields(plan, level),
        classes=cast(int, spec.classes),  # the spec of a plan has everything decided
        boxes=spec.boxes,
        beta=spec.beta,
        positive=spec.positive,
        negative=spec.negative,
        sample=spec.sample,
        positives=max(round(spec.sample * spec.sample_share), 1),
        inside=GEOMETRIES[spec.geometry].inside,
        focal=weighting.focal,
        class_weights=weighting.class_weights,
    )([*told, *(inputs[key] for key in ("window", "boxes", "labels", "seed"))])
    return TrainedLocaliser(inputs, dict(zip(LOSSES, losses, strict=True)), name=name)
