"""SGD as the papers use it: momentum, and weight decay that joins the gradient (v1 section 3.4)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from reskeras.graph.weights import is_kernel


class CoupledDecaySGD(keras.optimizers.SGD):
    """SGD whose decay is part of the gradient: g + decay x w, before the momentum, for kernels only.

    Keras' own `weight_decay` shrinks the weight apart from the gradient (decoupled), and an `L2(decay)`
    regulariser gives 2 x decay x w. Kernels of convolutions and dense layers decay; biases and batch-norm
    scales and shifts do not.
    """

    def __init__(self, *args: Any, coupled_decay: float = 0.0, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.coupled_decay = coupled_decay
        self._decayed: set[int] = set()

    def build(self, variables: list) -> None:
        """Make the momenta, and note which variables decay."""
        super().build(variables)
        self._decayed = {index for index, variable in enumerate(variables) if is_kernel(variable)}

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """One step for one variable."""
        if self.coupled_decay and self._get_variable_index(variable) in self._decayed:
            gradient = tf.cast(gradient, variable.dtype) + self.coupled_decay * variable
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict[str, Any]:
        """What makes the optimiser again."""
        return {**super().get_config(), "coupled_decay": self.coupled_decay}
