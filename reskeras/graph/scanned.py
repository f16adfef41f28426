"""A run of equal units as one layer: stacked weights and a loop, so that cost of tracing does not grow with depth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from reskeras.graph.functions import UnitTensors, execute
from reskeras.graph.keras_layers import Context
from reskeras.graph.layers.batch_norm import moved
from reskeras.graph.layers.replicas import replica_seed, with_mean_over_replicas
from reskeras.plans import operations as op
from reskeras.plans import plan_data
from reskeras.plans.nodes import mapped, placed_ops, sequence_ops
from reskeras.plans.plan import Unit

Key = tuple[str, str]  # operation within a unit, role of the weight
KEPT = 6  # tensors as large as the stream that the backward pass of a unit needs, about
OVERLAP = 4  # iterations of the loop that may overlap, so that a unit's filter gradients do not hold up the next unit
FLOAT32_ROLES = ("gamma", "beta", "moving_mean", "moving_variance")


def skeleton(unit: Unit) -> Unit:
    """`unit` without the numbers that a loop takes as inputs: drop-path rates and initial gate biases."""
    return replace(unit, nodes=mapped(unit.nodes, _without_numbers))


def _without_numbers(node: op.Op) -> op.Op:
    if isinstance(node, op.Dropout):
        return replace(node, rate=0.5)
    return replace(node, bias_start=0.0) if isinstance(node, op.Conv) else node


def local_name(name: str, unit: Unit) -> str:
    """Name of an operation within its unit: `conv1` for `stage2_unit1_conv1`."""
    return name.removeprefix(f"{unit.name}_")


@keras.saving.register_keras_serializable(package="reskeras")
class ScannedUnits(keras.layers.Layer):
    """Units of one skeleton, one after another, on a stream whose shape they keep.

    Every weight is stacked: unit i's is entry i along the first axis, initialised as it would be by itself
    (fan, seed and name of the one unit). Batch statistics come back stacked, and the moving ones are updated once
    after the loop. With `recompute` the backward pass recomputes units, a group at a time, instead of keeping their
    activations.
    """

    def __init__(self, units: Sequence[Unit | dict], seed: int | None = None, recompute: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.units = tuple(plan_data.unit_from_data(unit) if isinstance(unit, dict) else unit for unit in units)
        self.seed, self.recompute = seed, recompute
        self.template = self.units[0]
        self.stacks: dict[Key, keras.Variable] = {}
        self.frozen_batch_norm = False

    def build(self, input_shape: tuple) -> None:
        """Make the stacked weights for a stream of `input_shape` (batch, height, width, channels)."""
        context = Context(seed=self.seed)
        placed = [list(placed_ops(unit.nodes, tuple(input_shape[1:]))) for unit in self.units]
        for index, (first, shape) in enumerate(placed[0]):
            alike = [ops[index][0].weights(shape) for ops in placed]
            names = [ops[index][0].name for ops in placed]
            for role, weight in alike[0].items():
                starts = [context.start(each[role], name) for each, name in zip(alike, names, strict=True)]
                self.stacks[local_name(first.name, self.template), role] = self.add_weight(
                    name=f"{local_name(first.name, self.template)}_{role}",
                    shape=(len(self.units), *weight.shape),
                    autocast=False,
                    dtype="int32" if weight.role == "counter" else None,
                    initializer=partial(stacked_start, starts),
                    trainable=weight.role == "trained",
                )
        drops = [[node for node, _ in ops if isinstance(node, op.Dropout)] for ops in placed]
        alike_drops = {local_name(alike[0].name, self.template): alike for alike in zip(*drops, strict=True)}
        self.drawing = {
            name: tf.constant([context.drawn_seed(drop.name) for drop in alike], tf.int32)
            for name, alike in alike_drops.items()
        }
        self.rates = {
            name: tf.constant([drop.rate for drop in alike], tf.float32) for name, alike in alike_drops.items()
        }

    def freeze_batch_norm(self) -> None:
        """Normalise by the moving statistics in training too, and keep scale and shift as they are."""
        self.frozen_batch_norm = True
        for (_, role), stack in self.stacks.items():
            if role in ("gamma", "beta"):
                stack.trainable = False

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """The stream after all units."""
        training = bool(training)
        learns = training and self.trainable and not self.frozen_batch_norm
        stacked = {key: self._cast(key, tf.convert_to_tensor(stack)) for key, stack in self.stacks.items()}
        keys = [key for key in stacked if key[1] != "draws"]
        if training:
            for name, seeds in self.drawing.items():
                # float64 holds every int32, and recompute_grad takes only inputs that could have a gradient
                stacked[name, "seeds"] = tf.cast(
                    tf.stack([replica_seed(seeds), stacked[name, "draws"]], axis=1), tf.float64
                )
                stacked[name, "rate"] = self.rates[name]
                keys += [(name, "seeds"), (name, "rate")]
        stream, statistics = self._loop(inputs, {key: stacked[key] for key in keys}, training, learns)
        with_mean_over_replicas(list(statistics.values()), partial(self._move, list(statistics)))
        if training:
            for name in self.drawing:
                self.stacks[name, "draws"].assign(self.stacks[name, "draws"] + 1)
        return stream

    def _cast(self, key: Key, value: tf.Tensor) -> tf.Tensor:
        keeps = key[1] in FLOAT32_ROLES or key[1] == "draws"
        return value if keeps else tf.cast(value, self.compute_dtype)

    def _loop(self, stream: tf.Tensor, stacked: dict[Key, tf.Tensor], training: bool, learns: bool) -> tuple:
        keys = list(stacked)
        norms = [each for each in sequence_ops(self.template.nodes) if isinstance(each, op.BatchNorm)] if learns else []
        dtypes = [tf.float32] * (2 * len(norms))

        def unit(x: tf.Tensor, *values: tf.Tensor) -> tuple[tf.Tensor, ...]:
            weights = {
                (f"{self.template.name}_{name}", role): value for (name, role), value in zip(keys, values, strict=True)
            }
            tensors = UnitTensors(
                weights,
                training,
                learns,
                draw=lambda node: (weights[node.name, "rate"], tf.cast(weights[node.name, "seeds"], tf.int32)),
            )
            x = execute(self.template.nodes, x, tensors)
            return (x, *(value for norm in norms for value in tensors.statistics[norm.name]))

        loop = looped_in_groups if self.recompute and training else looped
        stream, *values = loop(unit, dtypes, stream, *stacked.values())
        return stream, {
            (local_name(norm.name, self.template), role): values[2 * place + which]
            for place, norm in enumerate(norms)
            for which, role in enumerate(("moving_mean", "moving_variance"))
        }

    def _move(self, keys: list[Key], statistics: list[tf.Tensor]) -> None:
        momenta = {
            local_name(each.name, self.template): each.momentum
            for each in sequence_ops(self.template.nodes)
            if isinstance(each, op.BatchNorm)
        }
        for key, batch in zip(keys, statistics, strict=True):
            stack = self.stacks[key]
            batch = tf.ensure_shape(batch, stack.shape)
            stack.assign(moved(tf.convert_to_tensor(stack), batch, momenta[key[0]]))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The input shape, which each unit of a run keeps."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The layer's configuration."""
        return {
            **super().get_config(),
            "units": [plan_data.unit_data(unit) for unit in self.units],
            "seed": self.seed,
            "recompute": self.recompute,
        }


def looped(
    step: Callable[..., tuple[tf.Tensor, ...]], dtypes: Sequence[tf.DType], x: tf.Tensor, *stacked: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """`x` after `step` with each entry along the first axis of `stacked`, in turn, and what the steps return besides
    it, of `dtypes`, stacked."""
    count, shape = stacked[0].shape[0], x.shape
    inputs = [
        tf.TensorArray(value.dtype, count, element_shape=value.shape[1:], clear_after_read=False).unstack(value)
        for value in stacked
    ]

    def body(index: tf.Tensor, x: tf.Tensor, written: tuple) -> tuple:
        x, *values = step(x, *(array.read(index) for array in inputs))
        x.set_shape(shape)
        return index + 1, x, tuple(array.write(index, value) for array, value in zip(written, values, strict=True))

    _, x, written = tf.while_loop(
        lambda index, *_: index < count,
        body,
        (tf.constant(0), x, tuple(tf.TensorArray(dtype, count) for dtype in dtypes)),
        maximum_iterations=count,
        parallel_iterations=OVERLAP,
    )
    return (x, *(array.stack() for array in written))


def looped_in_groups(
    step: Callable[..., tuple[tf.Tensor, ...]], dtypes: Sequence[tf.DType], x: tf.Tensor, *stacked: tf.Tensor
) -> tuple[tf.Tensor, ...]:
    """`looped`, whose backward pass recomputes the activations of the steps, a group of them at a time. Those that are
    kept are the stream between groups and, one group at a time, all of a group's; their sum is least for groups of
    about the root of the number of steps."""
    count = stacked[0].shape[0]
    size = round(math.sqrt(count / KEPT))
    if size < 2:  # a loop within the loop for one step would take as long again to trace
        return looped(tf.recompute_grad(step), dtypes, x, *stacked)
    units = tf.recompute_grad(partial(looped, step, dtypes))
    first = count % size  # units that are left over
    written: list[tf.Tensor] = []
    if first:
        x, *written = units(x, *(value[:first] for value in stacked))
    grouped = [tf.reshape(value[first:], (count // size, size, *value.shape[1:])) for value in stacked]
    x, *values = looped(units, dtypes, x, *grouped)
    joined = [tf.reshape(value, (-1, *value.shape[2:])) for value in values]
    return (x, *(map(partial(tf.concat, axis=0), zip(written, joined, strict=True)) if first else joined))


class TensorSeed(keras.random.SeedGenerator):
    """A seed that is a tensor, for Keras functions that take an int or a generator: always the same draw of it."""

    def __init__(self, seed: tf.Tensor):  # the base class would make a variable
        self.seed = seed

    def next(self, ordered: bool = True) -> tf.Tensor:
        """The key that Keras would draw from for the int `seed`."""
        return tf.stack([self.seed, tf.zeros_like(self.seed)])


def stacked_start(initialisers: list[keras.initializers.Initializer], shape: tuple, dtype: Any = None) -> tf.Tensor:
    """The values of `initialisers`, one after another, stacked to `shape`; unseeded ones each draw by themselves."""
    configs = [initialiser.get_config() for initialiser in initialisers]
    seeds = [config.pop("seed", None) for config in configs]
    if isinstance(seeds[0], int) and all(config == configs[0] for config in configs):
        kind = type(initialisers[0])

        def start(seed: tf.Tensor) -> tf.Tensor:
            return kind(**configs[0], seed=TensorSeed(seed))(shape[1:])

        # traced once by intent: called as a tf.function, a sixth stack would be warned of as retracing
        draw = tf.function(lambda seeds: tf.map_fn(start, seeds, fn_output_signature=tf.float32))
        return tf.cast(draw.get_concrete_function(tf.constant(seeds))(tf.constant(seeds)), dtype)
    if (
        seeds[0] is None
        and all(config == configs[0] for config in configs)
        and not isinstance(initialisers[0], keras.initializers.VarianceScaling)
    ):
        return tf.cast(initialisers[0](shape), dtype)
    return tf.stack([tf.cast(initialiser(shape[1:]), dtype) for initialiser in initialisers])
