"""The learning rate schedule of a recipe, with a scale that is adapted during training."""

from __future__ import annotations

from collections.abc import Callable
from math import pi
from typing import Any

import keras
import tensorflow as tf

from reskeras.recipes.recipe import Recipe


class ScaledSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times `scale`, a variable: `ScheduleController` sets it at plateaus and during a warm-up by training
    error."""

    def __init__(self, course: Callable[[Any], tf.Tensor]):
        self.course = course
        self.scale = tf.Variable(
            1.0,
            trainable=False,
            name="learning_rate_scale",
            dtype=tf.float32,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def __call__(self, step: Any) -> tf.Tensor:
        """The learning rate of update number `step`, counted from 0, float32."""
        return self.course(step) * tf.convert_to_tensor(self.scale)


class RecipeSchedule(ScaledSchedule):
    """Learning rate at a step (counted from 0): a linear warm-up to the peak, then the recipe's decay.

    Cosine and linear decay start where the warm-up ends; drops are fractions of the whole training.
    """

    def __init__(self, recipe: Recipe, steps: int):
        super().__init__(self._rate)
        self.recipe, self.total = recipe, steps
        self.warmup = min(round(recipe.schedule.warmup * steps), steps - 1)

    def _rate(self, step: Any) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        rising = tf.minimum((step + 1.0) / max(self.warmup, 1), 1.0)
        return self.recipe.learning_rate * tf.where(step < self.warmup, rising, self._course(step))

    def _course(self, step: tf.Tensor) -> tf.Tensor:
        schedule = self.recipe.schedule
        if schedule.kind in ("cosine", "linear"):
            done = tf.clip_by_value((step - self.warmup) / (self.total - self.warmup), 0.0, 1.0)
            return 0.5 * (1.0 + tf.cos(pi * done)) if schedule.kind == "cosine" else 1.0 - done
        course = tf.ones_like(step)
        if schedule.kind == "steps":
            for drop in schedule.drops:
                course *= tf.where(step >= round(drop * self.total), schedule.factor, 1.0)
        return course

    def get_config(self) -> dict[str, Any]:
        """The recipe, as plain data."""
        return {"recipe": self.recipe.sparse(), "steps": self.total}
