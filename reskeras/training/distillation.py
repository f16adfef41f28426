"""Distillation: a network learns from a trained one's outputs on the same pixels (arXiv:1503.02531)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.data.preprocessing import Preprocessing
from reskeras.graph.compile import compile_plan
from reskeras.graph.weights import write
from reskeras.plans.plan import Plan
from reskeras.recipes.loss import DistillationSpec
from reskeras.recipes.recipe import Recipe
from reskeras.training.form import training_context
from reskeras.training.trained_model import TrainedModel
from reskeras.training.transfer import digest_of

Divergence = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Teacher:
    """A trained network: its plan, its weights by canonical name, its preprocessing, and the places of the student's
    classes among its own."""

    plan: Plan
    weights: dict[str, np.ndarray]
    preprocessing: Preprocessing
    places: Sequence[int]

    @cached_property
    def digest(self) -> str:
        """Identifies what is learnt from: SHA-256 of the weights."""
        return digest_of(self.weights)

    def outputs(self, student: Preprocessing, recipe: Recipe) -> Callable[[tf.Tensor], tf.Tensor]:
        """A function from images as the `student` takes them to logits (n, classes) in its order of classes, constant
        in training by `recipe`. Call it in the scope of the strategy: it makes the teacher's variables."""
        context = training_context(self.plan, recipe, synchronized=False)
        model = compile_plan(self.plan, "teacher", context, any_size=bool(recipe.sizes))
        write(model, self.weights)
        model.trainable = False
        own, places = self.preprocessing, tf.constant(self.places, tf.int32)
        alike = own.normalises_like(student)

        def logits(images: tf.Tensor) -> tf.Tensor:
            _, height, width, _ = images.shape
            with tf.init_scope():  # outside of the step's graph
                theirs, ours = (each.at(height, width) for each in (own, student))
            given = images if alike else theirs.normalise(ours.pixels(images), in_step=True)
            return tf.stop_gradient(tf.gather(model(given, training=False), places, axis=1))

        return logits


class DistilledModel(TrainedModel):
    """A model whose loss in training is (1 - share) x that of the labels + share x T^2 x divergence from a teacher.

    The teacher is held by a function, so that it is no part of this model: neither trained, nor saved, nor counted.
    """

    _teacher: Callable[[tf.Tensor], tf.Tensor]
    _distillation: DistillationSpec
    _divergence: Divergence

    def learn_from(
        self, teacher: Callable[[tf.Tensor], tf.Tensor], distillation: DistillationSpec, divergence: Divergence
    ) -> None:
        """Set the teacher's logits as a function of images, and how much they count."""
        self._teacher, self._distillation, self._divergence = teacher, distillation, divergence

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> tf.Tensor:
        """The loss of a batch; in evaluation that of the labels alone."""
        labels = super().compute_loss(x, y, y_pred, sample_weight, training)
        if not training:
            return labels
        share, temperature = self._distillation.share, self._distillation.temperature
        divergence = self._divergence(self._teacher(x) / temperature, tf.cast(y_pred, tf.float32) / temperature)
        # a replica's part of the mean over all images, as Keras divides its own losses
        taught = tf.reduce_mean(divergence) / self.distribute_strategy.num_replicas_in_sync
        return share * temperature**2 * taught + ((1 - share) * labels if share < 1 else 0.0)


def softmax_divergence(teacher: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
    """KL(teacher, student) of the distributions over classes that logits (n, classes) stand for, (n,)."""
    ours, theirs = tf.nn.log_softmax(student), tf.nn.log_softmax(teacher)
    return tf.reduce_sum(tf.exp(theirs) * (theirs - ours), axis=1)


def sigmoid_divergence(teacher: tf.Tensor, student: tf.Tensor) -> tf.Tensor:
    """The mean over classes of KL(teacher, student) of whether each is there, (n,), of logits (n, classes)."""
    there = [tf.math.log_sigmoid(logits) for logits in (teacher, student)]
    absent = [tf.math.log_sigmoid(-logits) for logits in (teacher, student)]
    parts = [tf.exp(theirs) * (theirs - ours) for theirs, ours in (there, absent)]
    return tf.reduce_mean(tf.add_n(parts), axis=1)
