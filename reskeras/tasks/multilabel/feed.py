"""The input pipeline of a multi-label classifier: a classifier's, with weights for each label."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from reskeras.data.class_labels import counts_by_class
from reskeras.data.survey import labels_of
from reskeras.data.training_batch import smoothed
from reskeras.errors import ReskerasError
from reskeras.tasks.classification.feed import Feed
from reskeras.training.losses import hardened


class MultiLabelFeed(Feed):
    """Training and watched images; labels are float32 (n, classes), smoothed towards 1/2."""

    def weighted(self, labels: tf.Tensor, weights: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        """Labels and their weights, both (n, classes), whose weighted loss is that of a present class times its weight,
        and of an absent one: share by share, where a label is smoothed or mixed."""
        shares = hardened(smoothed(labels, self.recipe.label_smoothing, outcomes=2), self.recipe.loss)
        counted = shares * weights
        totals = counted + (1 - shares)  # in this order no share is above 1, not even by rounding
        return counted / totals, totals

    def check(self) -> None:
        """As for any classifier, and ReskerasError for a loss of whole images whose classes are to be weighted."""
        if self.own.loss and self.recipe.weights_classes:
            whole = "balanced weights" if self.recipe.class_weights == "balanced" else "they weight"
            raise ReskerasError(
                f"class_weights: {whole} each class of an image, but the loss that was given is one of whole "
                "images; use none, and weight the classes in the loss"
            )
        super().check()

    def balanced_weights(self) -> np.ndarray:
        """float32 (classes,): how many times as many images lack a class as have it; 1 for one that none has."""
        labels = labels_of(self.train)[1]
        counts = counts_by_class(labels, len(self.source.classes))
        return np.where(counts > 0, np.maximum(len(labels) - counts, 1) / np.maximum(counts, 1), 1.0).astype(np.float32)
