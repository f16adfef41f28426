"""What the recipe rules of every optimiser: decay and learning rate factors by canonical name, clipping, averages.

Overrides private methods of Keras 3.15's optimisers; setup.py bounds the version.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

Number = float | np.ndarray  # one for a variable, or one for each entry of stacked weights


class Rule(NamedTuple):
    """What holds for a variable: its weight decay, the factor of its learning rate, and whether it is the stacked
    weights of several units, so that each entry is a weight."""

    decay: Number
    factor: Number
    stacked: bool


class RuledOptimizer(keras.optimizers.Optimizer):
    """Mixin of the recipe's rules, to stand before one of Keras' optimisers; decay is decoupled unless that overrides
    `_decayed`.

    Which weights decay, and by what factor a weight's learning rate is multiplied, is given by patterns of canonical
    names such as `stage2_unit1_conv1/kernel`; the last matching pattern wins. `names` maps each variable's `id` to its
    canonical names: several for the stacked weights of scanned units, which follow the rules entry by entry. Without
    it a variable's path is its name.

    `lookahead` has the numbers of a recipe's LookaheadSpec, and `steps` is how many the whole training has, including
    those that only accumulate gradients; the slow weights are kept as averages are.
    """

    _begun = 0  # finished steps that this optimiser did not do

    def __init__(
        self,
        learning_rate: Any,
        *,
        weight_decay: float = 0.0,
        decayed: Sequence[str] = ("*kernel",),
        rate_factors: Mapping[str, float] | None = None,
        names: Mapping[int, Sequence[str]] | None = None,
        clip_norm: float | None = None,
        ema: float = 0.0,
        lookahead: Mapping[str, float] | None = None,
        steps: int = 1,
        **kwargs: Any,
    ):
        averaging = {"use_ema": True, "ema_momentum": ema} if ema or lookahead else {}
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, **kwargs, **averaging)
        self.clip_norm, self.ema = clip_norm, ema
        self.lookahead, self.steps = dict(lookahead or {}), steps
        self.decayed, self.rate_factors = tuple(decayed), dict(rate_factors or {})
        self._names = names or {}
        self._rules: dict[int, Rule] = {}

    @property
    def schedule(self) -> Any:
        """The learning rate schedule."""
        return self._learning_rate

    def last_rate(self) -> float:
        """The learning rate of the last update; `learning_rate` is already that of the next step."""
        last = int(self._iterations.numpy()) - 1
        if self.gradient_accumulation_steps:  # later steps may only have accumulated gradients
            last = max(last - (last + 1) % self.gradient_accumulation_steps, 0)
        return float(self._learning_rate(last))

    def begin_at(self, steps: int) -> None:
        """Set the number of finished steps, including those that only accumulate gradients, of a training whose weights
        are here and whose moments and averages are not."""
        self._iterations.assign(steps)
        self._begun = steps

    @property
    def iterations(self) -> Any:
        """The number of updates that moments and averages know of, which corrections of their start go by."""
        if not self._begun:
            return super().iterations
        return (self._iterations - self._begun) // (self.gradient_accumulation_steps or 1)

    def build(self, variables: list) -> None:
        """Create the optimiser's variables, and look up what holds for each of `variables`."""
        super().build(variables)
        self.gradient_norm = self.add_variable((), name="gradient_norm", aggregation="only_first_replica")
        decays = dict.fromkeys(self.decayed, float(self.weight_decay))
        for index, variable in enumerate(variables):
            self._rules[index] = Rule(
                self._by_name(variable, decays, 0.0),
                self._by_name(variable, self.rate_factors, 1.0),
                len(self._canonical(variable)) > 1,
            )

    def _canonical(self, variable: keras.Variable) -> Sequence[str]:
        return self._names.get(id(variable), (variable.path,))

    def _by_name(self, variable: keras.Variable, patterns: Mapping[str, float], otherwise: float) -> Number:
        """The number of the last of `patterns` that matches; for each entry of a stack, unless all have the same."""
        names = self._canonical(variable)
        values = dict.fromkeys(names, otherwise)
        for pattern, value in patterns.items():
            values.update(dict.fromkeys(fnmatch.filter(names, pattern), value))
        if len(set(values.values())) == 1:
            return values[names[0]]
        shape = (len(names), *[1] * (len(variable.shape) - 1))
        return np.reshape([values[name] for name in names], shape).astype(variable.dtype)

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """One step for one variable."""
        rule = self._rules[self._get_variable_index(variable)]
        gradient, rate = tf.cast(gradient, variable.dtype), tf.cast(learning_rate, variable.dtype)
        if isinstance(rule.factor, np.ndarray) or rule.factor != 1.0:
            rate *= rule.factor
        if np.any(rule.decay):
            gradient = self._decayed(gradient, variable, rate, rule)
        self._step(gradient, variable, rate, rule)
        if self.lookahead:
            self._look_ahead(variable)

    def _look_ahead(self, variable: tf.Variable) -> None:
        """After every so many updates of a variable, move its slow weights towards it, and it to these."""
        slow = self._model_variables_moving_average[self._get_variable_index(variable)]
        done = self._iterations // (self.gradient_accumulation_steps or 1) + 1
        first = tf.equal(self.iterations, 0)
        share = tf.cast(self._iterations + 1, tf.float32) / self.steps
        momentum = tf.where(first, 0.0, self.lookahead["momentum"] * share ** self.lookahead["ramp"])
        momentum = tf.cast(momentum, variable.dtype)
        moves = tf.logical_or(first, tf.equal(done % int(self.lookahead["steps"]), 0))
        before = tf.convert_to_tensor(slow)
        after = tf.where(moves, momentum * before + (1 - momentum) * variable, before)
        self.assign(variable, tf.where(moves, after, variable))
        self.assign(slow, after)

    def _decayed(self, gradient: tf.Tensor, variable: tf.Variable, rate: tf.Tensor, rule: Rule) -> tf.Tensor:
        """The gradient after the variable has decayed, or with what makes it decay."""
        self.assign_sub(variable, rate * rule.decay * variable)
        return gradient

    def _step(self, gradient: tf.Tensor, variable: tf.Variable, rate: tf.Tensor, rule: Rule) -> None:
        """The algorithm's step: Keras'."""
        super().update_step(gradient, variable, rate)

    def _apply_weight_decay(self, variables: list) -> None:
        """Do nothing: `update_step` has decayed what the rules say; Keras would decay all."""

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> list[tuple[tf.Tensor, tf.Variable]]:
        """All-reduce the gradients, record their global norm, and clip; Keras would clip on each replica."""
        reduced = super()._all_reduce_sum_gradients(grads_and_vars)
        gradients = [gradient for gradient, _ in reduced]
        norm = tf.linalg.global_norm(gradients)
        self.gradient_norm.assign(norm)
        if self.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, self.clip_norm, use_norm=norm)
        return [(gradient, variable) for gradient, (_, variable) in zip(gradients, reduced, strict=True)]

    def _update_model_variables_moving_average(self, trainable_variables: list) -> None:
        """Update the moving averages, with less momentum in the first steps so that initial weights fade quickly."""
        if not self.ema:  # slow weights move with the weights
            return
        step = tf.cast(self.iterations, tf.float32)
        momentum = tf.minimum(self.ema_momentum, step / (10.0 + step))
        if self.gradient_accumulation_steps:  # steps that only accumulate change nothing
            updates = tf.equal((self._iterations + 1) % self.gradient_accumulation_steps, 0)
            momentum = tf.where(updates, momentum, 1.0)
        for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            average.assign(momentum * average + (1.0 - momentum) * variable)

    def averages(self) -> dict[int, keras.Variable]:
        """Moving averages by `id` of their variable; empty without averaging."""
        if not self.use_ema:
            return {}
        pairs = zip(self._trainable_variables, self._model_variables_moving_average, strict=True)
        return {id(variable): average for variable, average in pairs}

    def finalize_variable_values(self, var_list: list) -> None:
        """Do not overwrite the weights with their averages at the end; the averages are saved separately."""

    def get_config(self) -> dict[str, Any]:
        """The arguments that the optimiser is recreated from."""
        config = {key: value for key, value in super().get_config().items() if key not in ("use_ema", "ema_momentum")}
        return {
            **config,
            "decayed": self.decayed,
            "rate_factors": self.rate_factors,
            "clip_norm": self.clip_norm,
            "ema": self.ema,
            "lookahead": self.lookahead,
            "steps": self.steps,
        }
