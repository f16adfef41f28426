"""A network in its integer form, from raw pixels to classes: what integer artefacts are converted from, and its exact
answers, which they are compared with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import unknown
from reskeras.evaluation.heads import SOFTMAX, Head
from reskeras.graph.compile import compile_plan
from reskeras.graph.integer_arithmetic import Watch, computed, range_of
from reskeras.graph.integer_rounding import LITE, Arithmetic, Rounded
from reskeras.graph.integers import calibrated, from_pixels, input_steps, integer_form, settled
from reskeras.graph.layers.quantisation import rounded_activations
from reskeras.graph.weights import write
from reskeras.plans import operations as op
from reskeras.plans.integers import SHARES
from reskeras.plans.plan import Plan

Outputs = dict[str, tf.Tensor]


@dataclass(frozen=True)
class Integers:
    """A network in its integer form for raw pixels, 0 to 255: its plan, and weights by canonical name, with ranges."""

    plan: Plan
    weights: Mapping[str, np.ndarray]

    @classmethod
    def of(
        cls,
        plan: Plan,
        weights: Mapping[str, np.ndarray],
        preprocessing: Preprocessing,
        images: np.ndarray,
        weight_bits: int,
        kept: Collection[str] = (),
    ) -> Integers:
        """Of a network with float32 `weights`; its ranges are calibrated on raw `images`. The convolutions and dense
        layers `kept` compute in float32; ReskerasError (status 2) for unknown ones."""
        known = [node.name for node in plan.ops() if node.weighted]
        for name in kept:
            if name not in known:
                raise unknown("keep-float", name, known)
        made, weights = integer_form(plan, weights, weight_bits, kept)
        made, weights = from_pixels(made, weights, preprocessing.mean, preprocessing.std)
        return cls(made, settled(made, calibrated(made, weights, images)))

    @classmethod
    def trained(cls, plan: Plan, weights: Mapping[str, np.ndarray], preprocessing: Preprocessing) -> Integers:
        """Of a network that was trained in its integer form, with the ranges that it has."""
        made, weights = from_pixels(plan, weights, preprocessing.mean, preprocessing.std)
        return cls(made, settled(made, weights))

    def logits(self, images: np.ndarray, watch: Watch | None = None, arithmetic: Arithmetic = LITE) -> Rounded:
        """Exact logits, in whole steps, of raw images; `watch` sees what is rounded on the way."""
        return computed(self.plan, self.weights, images.astype(np.float32), watch, arithmetic)

    def range(self, node: op.Quantise) -> tuple[float, int]:
        """The step of a rounding, and the 8-bit integer that stands for zero."""
        step, zero = range_of(node, self.weights)
        return float(step), zero

    @property
    def convolutions(self) -> list[tuple[op.Conv, np.float32]]:
        """Those of integers, each with the step of its input."""
        return input_steps(self.plan, self.weights)


class IntegerInference(tf.Module):
    """The graph of `integers` that rounds in float32, for converters: `pixels`, float32 or uint8, to logits and
    probabilities."""

    def __init__(
        self,
        integers: Integers,
        classes: Sequence[str],
        head: Head = SOFTMAX,
        batch: int | None = None,
        pixels: str = "float32",
    ):
        super().__init__()
        self.classes, self.head = tuple(classes), head
        self.images = tf.TensorSpec([batch, *integers.plan.input_shape], tf.as_dtype(pixels), name="images")
        network = compile_plan(integers.plan, "inference")
        write(network, dict(integers.weights))
        self.network = lambda images: network(images, training=False)
        self.kept = [variable.value for variable in network.weights]  # a tf.Module saves what it holds

    def __call__(self, images: tf.Tensor) -> Outputs:
        """`images` (batch, height, width, channels), pixels 0 to 255."""
        logits = self.network(tf.cast(images, tf.float32))
        return {"logits": logits, "probabilities": rounded_activations(self.head.probabilities(logits), *SHARES)}

    def signatures(self, names: Sequence[str] = ()) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The one signature that is converted."""
        return {"serving_default": tf.function(self.__call__).get_concrete_function(self.images)}
