"""The learning rate of a recipe as a function of the step."""

from __future__ import annotations

from math import pi
from typing import Any

import keras
import tensorflow as tf

from reskeras.spec.recipe import Recipe


class RecipeSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate at a step (counted from 0): a linear warm-up that reaches the peak, then the recipe's course.

    A cosine starts its fall where the warm-up ends; drops are fractions of the whole training.
    """

    def __init__(self, recipe: Recipe, steps_per_epoch: int):
        self.recipe, self.steps_per_epoch = recipe, steps_per_epoch
        self.total = recipe.epochs * steps_per_epoch
        self.warmup = min(round(recipe.schedule.warmup * self.total), self.total - 1)

    def __call__(self, step: Any) -> tf.Tensor:
        """The rate for the update after `step` updates, float32."""
        step = tf.cast(step, tf.float32)
        rising = tf.minimum((step + 1.0) / max(self.warmup, 1), 1.0)
        return self.recipe.learning_rate * tf.where(step < self.warmup, rising, self._course(step))

    def _course(self, step: tf.Tensor) -> tf.Tensor:
        schedule = self.recipe.schedule
        if schedule.kind == "cosine":
            done = tf.clip_by_value((step - self.warmup) / (self.total - self.warmup), 0.0, 1.0)
            return 0.5 * (1.0 + tf.cos(pi * done))
        course = tf.ones_like(step)
        if schedule.kind == "steps":
            for drop in schedule.drops:
                course *= tf.where(step >= round(drop * self.total), schedule.factor, 1.0)
        return course

    def get_config(self) -> dict[str, Any]:
        """The recipe, as plain data."""
        return {"recipe": self.recipe.sparse(), "steps_per_epoch": self.steps_per_epoch}
