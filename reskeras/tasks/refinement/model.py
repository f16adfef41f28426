"""RefinerPlan to Keras models: the networks of a refiner, its inference model and its training model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import keras
import tensorflow as tf

from reskeras.graph.compile import PLAIN, Context, compile_plan
from reskeras.networks.refiner_plan import RefinerPlan
from reskeras.tasks.detection.layers import REGISTERED, Float32Layer
from reskeras.tasks.detection.model import holds
from reskeras.tasks.detection.weighting import NO_WEIGHTS, Weighting
from reskeras.tasks.localisation.model import LOSSES, TrainedLocaliser, losses_of_classes


class Networks:
    """The compiled parts of a refiner and the wiring between them."""

    def __init__(self, plan: RefinerPlan, context: Context = PLAIN, cut: str | None = None):
        self.parts = {
            name: compile_plan(part, name, context, cut=cut if holds(part, cut) else None)
            for name, part in plan.parts.items()
        }

    def __call__(self, regions: Any) -> tuple[Any, Any]:
        """Logits (R, C) and deltas (R, K * 4) of warped regions (R, H, W, channels), normalised, where K is the number
        of classes, or 1."""
        seen = self.parts["shared"](regions)
        return self.parts["objectness"](seen), self.parts["box_deltas"](seen)


@REGISTERED
class RefinerLosses(Float32Layer):
    """The two losses per region, (R,): the cross-entropies of the logistic units of all classes, summed over these, and
    smooth L1 of the deltas of the region's class, which background has none of.

    Takes logits (R, C), deltas (R, K * 4), labels int32 (R,), of which some are BACKGROUND, and what the deltas
    are to be (R, 4). With `focal` and `class_weights` as in `losses_of_classes`.
    """

    def __init__(
        self,
        *,
        name: str,
        classes: int,
        boxes: int,
        beta: float,
        focal: Mapping[str, Any] | None = None,
        class_weights: Sequence[float] | None = None,
        **base: Any,
    ):
        how = {"beta": beta, "focal": focal, "class_weights": class_weights}
        super().__init__(name, classes=classes, boxes=boxes, **how, **base)

    def call(self, inputs: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Both losses."""
        logits, deltas, labels, wanted = inputs
        logits, deltas = (tf.cast(each, tf.float32) for each in (logits, deltas))
        weighting = Weighting(self.focal, self.class_weights)
        return losses_of_classes(logits, deltas, labels, wanted, self.boxes, self.beta, weighting)


def refiner_model(plan: RefinerPlan, name: str, context: Context = PLAIN) -> keras.Model:
    """The inference model, float32: {image (R, H, W, C) normalised} to what `Networks` tells of it."""
    image = keras.Input(plan.input_shape, name="image", dtype="float32")
    logits, deltas = Networks(plan, context)(image)
    return keras.Model({"image": image}, {"objectness": logits, "box_deltas": deltas}, name=name)


def training_model(
    plan: RefinerPlan,
    name: str,
    most: int,
    context: Context = PLAIN,
    cut: str | None = None,
    weighting: Weighting = NO_WEIGHTS,
) -> TrainedLocaliser:
    """The training model: {image, labels int32 (R,), deltas (R, 4)} to two losses, each (R,)."""
    spec = plan.spec
    inputs = {
        "image": keras.Input(plan.input_shape, name="image", dtype="float32"),
        "labels": keras.Input((), name="labels", dtype="int32"),
        "deltas": keras.Input((4,), name="deltas", dtype="float32"),
    }
    told = Networks(plan, context, cut=cut)(inputs["image"])
    # the spec of a plan has everything decided
    how: dict[str, Any] = {"focal": weighting.focal, "class_weights": weighting.class_weights}
    losses = RefinerLosses(name="losses", classes=cast(int, spec.classes), boxes=spec.boxes, beta=spec.beta, **how)
    found = losses([*told, inputs["labels"], inputs["deltas"]])
    return TrainedLocaliser(inputs, dict(zip(LOSSES, found, strict=True)), name=name)
