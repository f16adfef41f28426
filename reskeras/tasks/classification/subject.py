"""A classifier as the subject of a fit: its plan, its input pipeline, and the model compiled for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import keras
import tensorflow as tf

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Source, Split
from reskeras.graph.compile import compile_plan
from reskeras.plans.plan import Plan
from reskeras.plans.plan_data import unit_data
from reskeras.recipes.recipe import Recipe
from reskeras.tasks.classification.feed import Feed
from reskeras.training.distillation import DistilledModel, Divergence, Teacher, softmax_divergence
from reskeras.training.form import training_context, training_xla
from reskeras.training.losses import loss_of
from reskeras.training.optimizer import optimizer_of
from reskeras.training.own_parts import NO_PARTS, OwnParts, checked_loss
from reskeras.training.strategy import Replicas
from reskeras.training.subject import Logs, Measure
from reskeras.training.trained_model import TrainedModel
from reskeras.training.transfer import freeze


def watched_score(logs: Logs) -> tuple[float, float]:
    """Score of an epoch, higher is better: accuracy on the watched images, ties broken by the loss."""
    return float(logs["val_accuracy"]), -float(logs["val_loss"])


ACCURACY = Measure(
    score=watched_score,
    watched_error=lambda logs: 1 - logs["val_accuracy"],
    training_error=lambda logs: 1 - logs["accuracy"],
    shown=(("loss", "loss", ".4f"), ("accuracy", "accuracy", ".2%")),
)


@dataclass(frozen=True)
class Classifier:
    """A classification network and the images that it is trained on."""

    plan: Plan
    name: str
    source: Source[Split]
    preprocessing: Preprocessing
    teacher: Teacher | None = None
    measure: Measure = ACCURACY
    divergence: Divergence = softmax_divergence
    own: OwnParts = NO_PARTS

    def described(self) -> dict[str, Any]:
        """Units and input shape, for the fingerprint of checkpoints."""
        return {"units": [unit_data(unit) for unit in self.plan.units], "input": self.plan.input_shape}

    def feed(self, recipe: Recipe, replicas: Replicas) -> Feed:
        """The input pipeline for training and watched images."""
        return Feed(recipe, self.source, self.preprocessing, replicas, self.own)

    def metrics(self) -> list[Any]:
        """What is measured in each step besides the loss."""
        return ["accuracy"]

    def compiled(self, recipe: Recipe, steps: int, synchronized: bool = False) -> TrainedModel:
        """As `compiled`, with the teacher."""
        how = self.plan, self.name, recipe, steps, synchronized, self.metrics(), self.own
        if self.teacher is None:
            return compiled(*how)
        model = cast(DistilledModel, compiled(*how, DistilledModel))
        model.learn_from(self.teacher.outputs(self.preprocessing, recipe), recipe.distillation, self.divergence)
        return model

    def judge(self, feed: Feed) -> None:
        """Nothing: the steps of an evaluation measure everything."""

    def saved(self) -> keras.Model:
        """The float32 model that is saved."""
        return compile_plan(self.plan, self.name)


def compiled(
    plan: Plan,
    name: str,
    recipe: Recipe,
    steps: int,
    synchronized: bool = False,
    metrics: Sequence[Any] = ("accuracy",),
    own: OwnParts = NO_PARTS,
    model_class: type[TrainedModel] = TrainedModel,
) -> TrainedModel:
    """The model of `plan` in the recipe's precision and form, with its optimiser, loss and `metrics`, or `own` ones.

    `steps` is the total number of updates, which the learning rate schedule depends on.
    """
    context = training_context(plan, recipe, synchronized)
    model = compile_plan(plan, name, context, any_size=bool(recipe.sizes), cut=recipe.freeze, model_class=model_class)
    freeze(model, plan, recipe.freeze, recipe.frozen_bn)
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    xla = training_xla(recipe, replicas)
    model.compile(
        optimizer=optimizer_of(model, recipe, steps, own.optimizer),
        loss=checked_loss(own.loss, plan.output_shape[-1]) if own.loss else loss_of(recipe),
        metrics=list(metrics),
        jit_compile=xla and replicas == 1,
    )
    model.xla_between_reductions = xla and replicas > 1
    return model
