"""SGD as the papers use it: momentum, and weight decay that joins the gradient (v1 section 3.4)."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Rule = float | np.ndarray  # one number for a variable, or one for each entry of a stack


class CoupledDecaySGD(keras.optimizers.SGD):
    """SGD whose decay is part of the gradient: g + decay x w, before the momentum.

    Keras' own `weight_decay` shrinks the weight apart from the gradient (decoupled), and an `L2(decay)`
    regulariser gives 2 x decay x w. Which weights decay, and by what factor a weight's learning rate
    differs, is told by patterns of canonical names such as `stage2_unit1_conv1/kernel`; of several
    patterns that match, the last counts. `names` gives each variable's canonical names, by `id`: several
    for a stack, which then follows the rules entry by entry. Without it a variable's path is its name.
    """

    def __init__(
        self, *args: Any, coupled_decay: float = 0.0, decayed: Sequence[str] = ("*kernel",),
        rate_factors: Mapping[str, float] | None = None, names: Mapping[int, Sequence[str]] | None = None,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.coupled_decay, self.decayed = coupled_decay, tuple(decayed)
        self.rate_factors = dict(rate_factors or {})
        self._names = names or {}
        self._rules: dict[int, tuple[Rule, Rule]] = {}

    def build(self, variables: list) -> None:
        """Make the momenta, and look up each variable's decay and rate factor."""
        super().build(variables)
        decays = dict.fromkeys(self.decayed, self.coupled_decay)
        for index, variable in enumerate(variables):
            names = self._names.get(id(variable), (variable.path,))
            self._rules[index] = _rule(names, decays, 0.0, variable), _rule(names, self.rate_factors, 1.0, variable)

    def update_step(self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor) -> None:
        """One step for one variable."""
        decay, factor = self._rules[self._get_variable_index(variable)]
        if isinstance(decay, np.ndarray) or decay:
            gradient = tf.cast(gradient, variable.dtype) + decay * variable
        if isinstance(factor, np.ndarray) or factor != 1.0:
            learning_rate = tf.cast(learning_rate, variable.dtype) * factor
        if self.momentum and not isinstance(factor, np.ndarray):
            self._apply(tf.cast(gradient, variable.dtype), variable, tf.cast(learning_rate, variable.dtype))
        else:
            super().update_step(gradient, variable, learning_rate)

    def _apply(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Keras' momentum update as one operation instead of seven."""
        velocity = self.momentums[self._get_variable_index(variable)]
        handles = (each.value.handle if isinstance(each, keras.Variable) else each.handle
                   for each in (variable, velocity))
        tf.raw_ops.ResourceApplyKerasMomentum(
            **dict(zip(("var", "accum"), handles, strict=True)), lr=learning_rate, grad=gradient,
            momentum=tf.cast(self.momentum, variable.dtype), use_nesterov=self.nesterov)

    def get_config(self) -> dict[str, Any]:
        """What makes the optimiser again."""
        return {**super().get_config(), "coupled_decay": self.coupled_decay, "decayed": self.decayed,
                "rate_factors": self.rate_factors}


def _rule(names: Sequence[str], patterns: Mapping[str, float], otherwise: float, variable: keras.Variable) -> Rule:
    values = dict.fromkeys(names, otherwise)
    for pattern, value in patterns.items():
        values.update(dict.fromkeys(fnmatch.filter(names, pattern), value))
    if len(set(values.values())) == 1:
        return values[names[0]]
    shape = (len(names), *[1] * (len(variable.shape) - 1))
    return np.reshape([values[name] for name in names], shape).astype(variable.dtype)
