"""The loss that a recipe names, as Keras takes it: a row for each kind that gives every class a loss of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from reskeras.errors import ReskerasError
from reskeras.recipes.loss import LOSSES, BinaryCrossEntropy, EachClassSpec, Focal, LossSpec
from reskeras.recipes.recipe import Recipe


def loss_of(recipe: Recipe) -> keras.losses.Loss:
    """The loss of float32 logits (n, classes): of labels int32 (n,), or of targets float32 (n, classes) where the
    recipe has soft labels."""
    if isinstance(recipe.loss, EachClassSpec):
        return EachClassLoss(recipe.loss)
    kind = keras.losses.CategoricalCrossentropy if recipe.soft_labels else keras.losses.SparseCategoricalCrossentropy
    return kind(from_logits=True)


class EachClassLoss(keras.losses.Loss):
    """The mean over images of the loss of each class' sigmoid, averaged over the classes or summed.

    Targets and logits are float32 (n, classes); sample weights are of images (n,), or of each class of them
    (n, classes).
    """

    def __init__(self, spec: EachClassSpec):
        super().__init__(name=spec.kind)
        self.spec = spec

    def __call__(self, targets: tf.Tensor, logits: tf.Tensor, sample_weight: tf.Tensor | None = None) -> tf.Tensor:
        """The weighted mean, a scalar; Keras would not spread the weights of images over their classes."""
        if sample_weight is not None and len(sample_weight.shape) == 1:
            sample_weight = sample_weight[:, tf.newaxis]
        return super().__call__(targets, logits, sample_weight)

    def call(self, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Losses (n, classes), of which Keras takes the weighted mean."""
        losses = EACH_CLASS[type(self.spec)](self.spec, targets, logits)
        return losses * logits.shape[1] if self.spec.sum_classes else losses


def hardened(targets: tf.Tensor, loss: LossSpec) -> tf.Tensor:
    """Targets made 0 or 1 by the threshold of `loss`, if it has one."""
    threshold = getattr(loss, "threshold", None)
    return targets if threshold is None else tf.cast(targets > threshold, targets.dtype)


def check_targets(recipe: Recipe, outcomes: int) -> None:
    """Raise ReskerasError where label smoothing over so many `outcomes` moves targets over the threshold."""
    threshold, share = getattr(recipe.loss, "threshold", None), recipe.label_smoothing / outcomes
    if threshold is not None and not share <= threshold < 1 - recipe.label_smoothing + share:
        raise ReskerasError(
            f"loss.threshold: {threshold:g} does not separate smoothed labels, which are {share:.3g} and "
            f"{1 - recipe.label_smoothing + share:.3g}; use a lower label_smoothing, or none"
        )


def binary_cross_entropy(spec: BinaryCrossEntropy, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """-t log p - (1 - t) log(1 - p) of the sigmoids p, (n, classes)."""
    return tf.nn.sigmoid_cross_entropy_with_logits(hardened(targets, spec), logits)


def focal(spec: Focal, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Binary cross-entropy times the probability of being wrong to the power of gamma, (n, classes)."""
    losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
    # p (1 - t) + (1 - p) t by logarithms: a power of the difference has no finite gradient where p saturates
    wrong = tf.reduce_logsumexp(
        [tf.math.log_sigmoid(logits) + tf.math.log(1 - targets), tf.math.log_sigmoid(-logits) + tf.math.log(targets)],
        axis=0,
    )
    losses *= tf.exp(spec.gamma * wrong)
    return losses if spec.alpha is None else losses * (spec.alpha * targets + (1 - spec.alpha) * (1 - targets))


EACH_CLASS: dict[type[LossSpec], Callable[[Any, tf.Tensor, tf.Tensor], tf.Tensor]] = {
    BinaryCrossEntropy: binary_cross_entropy,
    Focal: focal,
}
if lacking := {kind for kind in LOSSES.values() if kind.each_class} - EACH_CLASS.keys():
    raise TypeError(f"no function computes {', '.join(kind.__name__ for kind in lacking)}")
