"""What a recipe weights in the losses on annotated images: hard anchors, by focal loss, and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.data.class_labels import balanced_weights, named_weights
from reskeras.data.source import Source
from reskeras.errors import ReskerasError
from reskeras.recipes.loss import AUTO, Focal
from reskeras.recipes.recipe import Recipe
from reskeras.tasks.detection.object_feed import divided
from reskeras.tasks.detection.objects import Objects
from reskeras.training.losses import focal

SUMMED = "sum_classes"  # a field of focal that only classifiers have: the classes of an anchor are always summed


@dataclass(frozen=True)
class Weighting:
    """`focal` is the fields of the recipe's focal loss, `class_weights` a weight for each class; None where nothing is
    weighted. Both are plain data, as layers keep them."""

    focal: Mapping[str, Any] | None = None
    class_weights: Sequence[float] | None = None

    @classmethod
    def of(cls, recipe: Recipe, source: Source[Objects]) -> Weighting:
        """That of a recipe, with balanced weights by the objects in the images of `source` to train on."""
        chosen = recipe.loss.model_dump(exclude={SUMMED}) if isinstance(recipe.loss, Focal) else None
        if not recipe.weights_classes:
            return cls(chosen)
        if not isinstance(recipe.class_weights, str):
            return cls(chosen, named_weights(recipe.class_weights, source.classes).tolist())
        train, _ = divided(source, recipe)
        counts = np.bincount(train.labels[~train.ignored], minlength=len(source.classes))
        return cls(chosen, balanced_weights(counts).tolist())


NO_WEIGHTS = Weighting()


def check_weighting(recipe: Recipe, classes: Sequence[str]) -> None:
    """ReskerasError for a loss that images with boxes do not have, and for weights of classes that there are not."""
    loss = recipe.loss
    if loss != AUTO and not isinstance(loss, Focal):
        raise ReskerasError(f"loss: {loss.kind!r} is only for classifiers; use auto, or focal for hard anchors")
    if SUMMED in loss.model_fields_set:
        raise ReskerasError(f"loss.{SUMMED}: only for classifiers; the classes of an anchor are always summed")
    if not isinstance(recipe.class_weights, str):
        named_weights(recipe.class_weights, classes)


def logistic_losses(targets: tf.Tensor, logits: tf.Tensor, fields: Mapping[str, Any] | None) -> tf.Tensor:
    """The cross-entropy of logistic units, or their focal loss with these fields, of targets 0 or 1 and logits, both
    float32 (..., n): float32 (..., n)."""
    if fields is None:
        return tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
    return focal(Focal.model_validate(fields), targets, logits)


def weights_of(labels: tf.Tensor, class_weights: Sequence[float]) -> tf.Tensor:
    """The weight of what has `labels`, int32 (...): of a class its own, of background (any other number) 1."""
    classes = len(class_weights)
    known = tf.where((labels >= 0) & (labels < classes), labels, classes)
    return tf.gather(tf.constant([*class_weights, 1.0]), known)
