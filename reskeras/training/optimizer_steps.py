"""The recipe's optimisers: Keras' algorithms under the recipe's rules, and the one step of each that differs.

Overrides private methods of Keras 3.15's optimisers; setup.py bounds the version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from reskeras.training.ruled_optimizer import Number, Rule, RuledOptimizer


class CoupledDecaySGD(RuledOptimizer, keras.optimizers.SGD):
    """SGD as in the papers: momentum, and weight decay coupled to the gradient (v1 section 3.4): g + decay x w.

    Keras' own `weight_decay` is decoupled from the gradient, and an `L2(decay)` regulariser gives 2 x decay x w.
    """

    def _decayed(self, gradient: tf.Tensor, variable: tf.Variable, rate: tf.Tensor, rule: Rule) -> tf.Tensor:
        return gradient + rule.decay * variable

    def _step(self, gradient: tf.Tensor, variable: tf.Variable, rate: tf.Tensor, rule: Rule) -> None:
        """Keras' momentum update as one operation instead of seven."""
        if not self.momentum or isinstance(rule.factor, np.ndarray):
            super()._step(gradient, variable, rate, rule)
            return
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=_handle(variable),
            accum=_handle(self.momentums[self._get_variable_index(variable)]),
            lr=rate,
            grad=gradient,
            momentum=tf.cast(self.momentum, variable.dtype),
            use_nesterov=self.nesterov,
        )


def _handle(variable: tf.Variable | keras.Variable) -> tf.Tensor:
    return variable.value.handle if isinstance(variable, keras.Variable) else variable.handle


class AdamW(RuledOptimizer, keras.optimizers.AdamW):
    """AdamW (arXiv:1711.05101)."""

    def _step(self, gradient: tf.Tensor, variable: tf.Variable, rate: tf.Tensor, rule: Rule) -> None:
        """Keras' update as one operation instead of fifteen."""
        if self.amsgrad or isinstance(rule.factor, np.ndarray):
            super()._step(gradient, variable, rate, rule)
            return
        index, step = self._get_variable_index(variable), tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=rate,
            beta1=tf.cast(self.beta_1, variable.dtype),
            beta2=tf.cast(self.beta_2, variable.dtype),
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=gradient,
        )


def adam_update(
    optimizer: keras.optimizers.Optimizer,
    gradient: tf.Tensor,
    mean: keras.Variable,
    square: keras.Variable,
    beta_1: float,
    beta_2: float,
) -> tf.Tensor:
    """Adam's update without its learning rate (arXiv:1412.6980, algorithm 1), after moving the moments."""
    step = tf.cast(optimizer.iterations + 1, gradient.dtype)
    corrected = []
    for moment, value, beta in ((mean, gradient, beta_1), (square, gradient * gradient, beta_2)):
        optimizer.assign_add(moment, (value - moment) * (1.0 - beta))
        corrected.append(moment / (1.0 - beta**step))
    return corrected[0] / (tf.sqrt(corrected[1]) + optimizer.epsilon)


class Lamb(RuledOptimizer, keras.optimizers.Lamb):
    """LAMB (arXiv:1904.00962, algorithm 2), with the trust ratio of each entry of a stack.

    Keras decays weights apart from the update; in the paper the decay is in it when its norm is taken. As in NVIDIA's
    and timm's LAMB, weights that do not decay have no trust ratio unless `always_adapt`.
    """

    def __init__(self, *args: Any, always_adapt: bool = False, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.always_adapt = always_adapt

    def _decayed(self, gradient: tf.Tensor, variable: tf.Variable, rate: tf.Tensor, rule: Rule) -> tf.Tensor:
        return gradient  # the step does it

    def _step(self, gradient: tf.Tensor, variable: tf.Variable, rate: tf.Tensor, rule: Rule) -> None:
        """Adam's update with the decay added, times |w| / |update|, by each weight."""
        index = self._get_variable_index(variable)
        mean, square = self._momentums[index], self._velocities[index]
        update = adam_update(self, gradient, mean, square, self.beta_1, self.beta_2) + rule.decay * variable
        adapts = np.not_equal(rule.decay, 0.0) | self.always_adapt
        if np.any(adapts):
            axes = list(range(int(rule.stacked), len(variable.shape)))
            weight, length = (tf.sqrt(tf.reduce_sum(each * each, axes, keepdims=True)) for each in (variable, update))
            trusted = tf.logical_and(adapts, tf.logical_and(weight > 0.0, length > 0.0))
            update *= tf.where(trusted, tf.math.divide_no_nan(weight, length), 1.0)
        self.assign_sub(variable, rate * update)

    def get_config(self) -> dict[str, Any]:
        """The arguments that the optimiser is recreated from."""
        return {**super().get_config(), "always_adapt": self.always_adapt}


class Muon(RuledOptimizer, keras.optimizers.Muon):
    """Muon (https://kellerjordan.github.io/posts/muon) for kernels except those that match `adam`; Adam for the rest.

    Keras' Muon updates by Adam whatever has not two axes, so all convolutions, and every stack of dense kernels as one
    matrix. Here a kernel (..., inputs, outputs) is a matrix of `outputs` columns, as the author flattens convolutions,
    and an entry of a stack a matrix of its own.
    """

    def __init__(self, *args: Any, adam: Sequence[str] = (), **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.adam = tuple(adam)
        self._by_muon: dict[int, Number] = {}  # 1 for kernels that it orthogonalises, 0 for others

    def build(self, variables: list) -> None:
        """Create the momenta, and the velocities of what Adam updates."""
        patterns = {"*/kernel": 1.0, **dict.fromkeys(self.adam, 0.0)}
        self._by_muon = {index: self._by_name(each, patterns, 0.0) for index, each in enumerate(variables)}
        super().build(variables)

    def _should_use_adamw(self, variable: keras.Variable) -> bool:
        return not np.all(self._by_muon[self._get_variable_index(variable)])

    def _step(self, gradient: tf.Tensor, variable: tf.Variable, rate: tf.Tensor, rule: Rule) -> None:
        """The step of each entry's kind: in a stack with both kinds, both are computed."""
        index = self._get_variable_index(variable)
        by_muon, momentum, velocity = self._by_muon[index], self.momentums[index], self.adam_velocities[index]
        if not np.any(by_muon):
            update = adam_update(self, gradient, momentum, velocity, self.adam_beta_1, self.adam_beta_2)
        else:
            gathered = self.momentum * momentum + gradient
            update = self._orthogonal(self.momentum * gathered + gradient if self.nesterov else gathered, rule.stacked)
            if isinstance(by_muon, np.ndarray):
                other = adam_update(self, gradient, momentum, velocity, self.adam_beta_1, self.adam_beta_2)
                update = tf.where(by_muon > 0, update, other)
                gathered = tf.where(by_muon > 0, gathered, tf.convert_to_tensor(momentum))
            self.assign(momentum, gathered)
        self.assign_sub(variable, rate * update)

    def _orthogonal(self, update: tf.Tensor, stacked: bool) -> tf.Tensor:
        """`update` with all singular values of each kernel's matrix near 1, scaled to the root mean square
        `rms_rate` of a matrix of full rank (arXiv:2502.16982, section 2.2)."""
        count, shape = update.shape[0] if stacked else 1, update.shape
        matrices = tf.reshape(update, (count, -1, shape[-1]))
        scale = self.rms_rate * max(matrices.shape[1:]) ** 0.5
        return tf.reshape(scale * self.zeropower_via_newtonschulz5(matrices, self.ns_steps), shape)

    def get_config(self) -> dict[str, Any]:
        """The arguments that the optimiser is recreated from."""
        return {**super().get_config(), "adam": self.adam}
