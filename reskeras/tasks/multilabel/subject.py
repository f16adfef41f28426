"""A multi-label classifier as the subject of a fit: each class has a loss of its own; epochs are judged by mAP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reskeras.recipes.loss import AUTO
from reskeras.recipes.recipe import Recipe
from reskeras.recipes.recipe import recipe as recipe_with
from reskeras.tasks.classification.feed import Feed
from reskeras.tasks.classification.subject import Classifier
from reskeras.tasks.multilabel.feed import MultiLabelFeed
from reskeras.training.distillation import Divergence, sigmoid_divergence
from reskeras.training.metrics import MeanAveragePrecision
from reskeras.training.strategy import Replicas
from reskeras.training.subject import Logs, Measure
from reskeras.training.trained_model import TrainedModel


def watched_score(logs: Logs) -> tuple[float, float]:
    """Score of an epoch, higher is better: mean average precision on the watched images, ties broken by the loss."""
    return float(logs["val_average_precision"]), -float(logs["val_loss"])


AVERAGE_PRECISION = Measure(
    score=watched_score,
    watched_error=lambda logs: 1 - logs["val_average_precision"],
    training_error=lambda logs: 1 - logs["average_precision"],
    shown=(("loss", "loss", ".4f"), ("average_precision", "mAP", ".2%")),
)


@dataclass(frozen=True)
class MultiLabelClassifier(Classifier):
    """A classification network and the images of any number of classes that it is trained on."""

    measure: Measure = AVERAGE_PRECISION
    divergence: Divergence = sigmoid_divergence

    def feed(self, recipe: Recipe, replicas: Replicas) -> Feed:
        """The input pipeline for training and watched images."""
        return MultiLabelFeed(decided(recipe), self.source, self.preprocessing, replicas, self.own)

    def metrics(self) -> list[Any]:
        """Mean average precision."""
        return [MeanAveragePrecision(len(self.source.classes))]

    def compiled(self, recipe: Recipe, steps: int, synchronized: bool = False) -> TrainedModel:
        """As for any classifier."""
        return super().compiled(decided(recipe), steps, synchronized)


def decided(recipe: Recipe) -> Recipe:
    """`recipe` with binary cross-entropy where it leaves the loss to the data."""
    return recipe_with(recipe, loss="binary_cross_entropy") if recipe.loss == AUTO else recipe
