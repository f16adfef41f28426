"""The optimiser of a recipe, with loss scaling in float16."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from reskeras.graph.weights import names_of
from reskeras.recipes.optimizer import RECIPES_OWN, SGD
from reskeras.recipes.recipe import Recipe
from reskeras.training.optimizer_steps import AdamW, CoupledDecaySGD, Lamb, Muon
from reskeras.training.own_parts import has_schedule, under_rules
from reskeras.training.precision import training_precision
from reskeras.training.ruled_optimizer import RuledOptimizer
from reskeras.training.schedule import RecipeSchedule, ScaledSchedule

# by kind of a recipe's optimiser; its fields are arguments
ALGORITHMS: dict[str, type[RuledOptimizer]] = {"sgd": CoupledDecaySGD, "adamw": AdamW, "lamb": Lamb, "muon": Muon}


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


def inner_optimizer(model: keras.Model) -> RuledOptimizer:
    """The optimiser that a model is trained by, inside its loss scaling if it has any."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def optimizer_of(
    model: keras.Model, recipe: Recipe, steps: int, own: keras.optimizers.Optimizer | None = None
) -> keras.optimizers.Optimizer:
    """The recipe's optimiser for `model`, or one that computes as `own` does, with loss scaling in float16.

    `steps` is the total number of updates.
    """
    rules: dict[str, Any] = {
        "weight_decay": recipe.weight_decay,
        "decayed": recipe.decayed,
        "rate_factors": recipe.rate_factors,
        "names": names_of(model),
        "clip_norm": recipe.clip_norm,
        "ema": recipe.ema,
        "lookahead": recipe.lookahead.model_dump() if recipe.lookahead else None,
        "steps": steps,
        "gradient_accumulation_steps": recipe.accumulate if recipe.accumulate > 1 else None,
    }
    if own is not None:
        course = ScaledSchedule(own._learning_rate) if has_schedule(own) else RecipeSchedule(recipe, steps)
        ruled = under_rules(own, course, **rules)
    else:
        chosen = recipe.optimizer
        settings = {name: getattr(recipe, name) for name in RECIPES_OWN} if chosen.kind == SGD.kind else {}
        settings |= chosen.model_dump(exclude={"kind"})
        ruled = ALGORITHMS[chosen.kind](RecipeSchedule(recipe, steps), **rules, **settings)
    return LossScaling(ruled) if training_precision(recipe.precision) == "mixed_float16" else ruled
