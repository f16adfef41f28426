"""Keras layers generated for operations and merges that stock Keras lacks: each computes with its kind's tensor
function, and its configuration has the fields of the operation or merge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar

import keras
import tensorflow as tf

from reskeras.graph.functions import OPERATIONS, UnitTensors, merged
from reskeras.plans.merges import Merge
from reskeras.plans.operation import Op, Weight
from reskeras.plans.plan_data import field_values, from_fields


class _OwnLayer(keras.layers.Layer):
    """Base of both: `kind` is the class of the operation or merge, `record` the instance."""

    kind: ClassVar[type]

    def __init__(self, **arguments: Any):
        own = {each.name for each in fields(self.kind)} - {"name"}
        super().__init__(**{name: value for name, value in arguments.items() if name not in own})
        values = {name: value for name, value in arguments.items() if name in own}
        self.record = from_fields(self.kind, {**values, **self.named()})

    def named(self) -> dict[str, str]:
        """The layer's name, where a record of this kind has one."""
        return {}

    def get_config(self) -> dict[str, Any]:
        """The layer's configuration."""
        return {**super().get_config(), **field_values(self.record)}


class OperationLayer(_OwnLayer):
    """An operation of a plan: (batch, *shape) to (batch, *its output shape). `start` gives the initialiser of a weight;
    a layer that is loaded needs none."""

    kind: ClassVar[type[Op]]
    start: Callable[[Weight], keras.initializers.Initializer] = staticmethod(lambda weight: "zeros")

    def named(self) -> dict[str, str]:
        return {"name": self.name}

    def build(self, input_shape: tuple) -> None:
        """Make the operation's weights, where it has any; TypeError for one that is not trained."""
        wanted = self.record.weights(tuple(input_shape[1:]))
        if moved := [name for name, weight in wanted.items() if weight.role != "trained"]:
            raise TypeError(
                f"{self.kind.__name__}: {moved[0]} is not trained by gradients and needs a layer of its "
                "own in reskeras.graph.keras_layers"
            )
        self.made = {
            name: self.add_weight(shape=weight.shape, initializer=self.start(weight), name=name)
            for name, weight in wanted.items()
        }

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Apply the operation."""
        weights = {(self.name, name): tf.convert_to_tensor(each) for name, each in self.made.items()}
        return OPERATIONS[self.kind](self.record, inputs, UnitTensors(weights, bool(training), False, _no_draw))


class MergeLayer(_OwnLayer):
    """The merge of a fork's branches."""

    kind: ClassVar[type[Merge]]

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Merge the branches."""
        return merged(self.record, inputs)

    def compute_output_shape(self, input_shape: list[tuple]) -> tuple:
        """The merged shape."""
        return (input_shape[0][0], *self.record.shape(tuple(tuple(shape[1:]) for shape in input_shape)))


def own_layer(kind: type[Op] | type[Merge]) -> type[_OwnLayer]:
    """The registered layer class for a kind, called as it is: `reskeras>PadChannels` in a file."""
    base = MergeLayer if issubclass(kind, Merge) else OperationLayer
    made = type(kind.__name__, (base,), {"kind": kind, "__module__": __name__, "__doc__": kind.__doc__})
    return keras.saving.register_keras_serializable(package="reskeras")(made)


def _no_draw(node: Op) -> tuple[tf.Tensor, tf.Tensor]:
    raise TypeError(f"{node.name} draws random numbers, which a layer of its own must count")
