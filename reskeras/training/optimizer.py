"""SGD as in the papers: momentum, and weight decay coupled to the gradient (v1 section 3.4).

Overrides private methods of Keras 3.15's optimisers; setup.py bounds the version.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from reskeras.graph.weights import names_of
from reskeras.recipes.recipe import Recipe
from reskeras.training.precision import training_precision
from reskeras.training.schedule import RecipeSchedule

Rule = float | np.ndarray  # one number for a variable, or one for each entry of stacked weights


class CoupledDecaySGD(keras.optimizers.SGD):
    """SGD with coupled weight decay: g + decay x w, before the momentum.

    Keras' own `weight_decay` is decoupled from the gradient, and an `L2(decay)` regulariser gives 2 x decay x w. Which
    weights decay, and by what factor a weight's learning rate is multiplied, is given by patterns of canonical names
    such as `stage2_unit1_conv1/kernel`; the last matching pattern wins. `names` maps each variable's `id` to its
    canonical names: several for the stacked weights of scanned units, which follow the rules entry by entry. Without
    it a variable's path is its name.
    """

    def __init__(
        self,
        *args: Any,
        coupled_decay: float = 0.0,
        decayed: Sequence[str] = ("*kernel",),
        rate_factors: Mapping[str, float] | None = None,
        names: Mapping[int, Sequence[str]] | None = None,
        clip_norm: float | None = None,
        ema: float = 0.0,
        **kwargs: Any,
    ):
        averaging = {"use_ema": True, "ema_momentum": ema} if ema else {}
        super().__init__(*args, **kwargs, **averaging)
        self.clip_norm, self.ema = clip_norm, ema
        self.coupled_decay, self.decayed = coupled_decay, tuple(decayed)
        self.rate_factors = dict(rate_factors or {})
        self._names = names or {}
        self._rules: dict[int, tuple[Rule, Rule]] = {}

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
        """Set the number of finished steps, including those that only accumulate gradients."""
        self._iterations.assign(steps)

    def build(self, variables: list) -> None:
        """Create the momenta, and look up each variable's decay and learning rate factor."""
        super().build(variables)
        self.gradient_norm = self.add_variable((), name="gradient_norm", aggregation="only_first_replica")
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
        handles = (
            each.value.handle if isinstance(each, keras.Variable) else each.handle for each in (variable, velocity)
        )
        tf.raw_ops.ResourceApplyKerasMomentum(
            **dict(zip(("var", "accum"), handles, strict=True)),
            lr=learning_rate,
            grad=gradient,
            momentum=tf.cast(self.momentum, variable.dtype),
            use_nesterov=self.nesterov,
        )

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
        if not self.use_ema:
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
            "coupled_decay": self.coupled_decay,
            "decayed": self.decayed,
            "rate_factors": self.rate_factors,
            "clip_norm": self.clip_norm,
            "ema": self.ema,
        }


class LossScaling(keras.optimizers.LossScaleOptimizer):
    """Keras' dynamic loss scaling for float16, with one decision of all replicas on whether a step is skipped.

    Keras takes the first replica's, for gradients that are not summed yet: those of another may have overflowed.
    """

    def check_finite(self, gradients: list) -> tf.Tensor:
        """Whether the gradients of every replica are finite, a boolean."""
        finite = super().check_finite(gradients)
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return finite
        return context.all_reduce("MEAN", tf.cast(finite, tf.float32)) == 1.0


def sgd_of(model: keras.Model) -> CoupledDecaySGD:
    """The SGD that a model is trained by, inside its loss scaling if it has any."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def _rule(names: Sequence[str], patterns: Mapping[str, float], otherwise: float, variable: keras.Variable) -> Rule:
    values = dict.fromkeys(names, otherwise)
    for pattern, value in patterns.items():
        values.update(dict.fromkeys(fnmatch.filter(names, pattern), value))
    if len(set(values.values())) == 1:
        return values[names[0]]
    shape = (len(names), *[1] * (len(variable.shape) - 1))
    return np.reshape([values[name] for name in names], shape).astype(variable.dtype)


def optimizer_of(model: keras.Model, recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """The recipe's optimiser for `model`, with loss scaling in float16; `steps` is the total number of updates."""
    sgd = CoupledDecaySGD(
        RecipeSchedule(recipe, steps),
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        coupled_decay=recipe.weight_decay,
        decayed=recipe.decayed,
        rate_factors=recipe.rate_factors,
        names=names_of(model),
        clip_norm=recipe.clip_norm,
        ema=recipe.ema,
        gradient_accumulation_steps=recipe.accumulate if recipe.accumulate > 1 else None,
    )
    return LossScaling(sgd) if training_precision(recipe.precision) == "mixed_float16" else sgd
