"""What the model card of a multi-label classifier says of its test: average precision and F1, of all and by class."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score

from reskeras.evaluation.intervals import bootstrap, wilson
from reskeras.evaluation.multilabel import THRESHOLD, LabelEvaluation
from reskeras.report.card_results import CardResults, Figure, results_with
from reskeras.tasks.multilabel.page import shown


def label_results(found: LabelEvaluation) -> CardResults:
    """Mean average precision, F1, images without a wrong label, and the figures of each class."""
    true, taken, scores = found.labels > 0, found.predicted, found.probabilities
    hits, both = true & taken, true.astype(np.int64) + taken

    def mean_average_precision(counts: np.ndarray) -> float:
        held = counts @ true > 0
        each = [
            average_precision_score(own, score, sample_weight=counts)
            for own, score in zip(true.T[held], scores.T[held], strict=True)
        ]
        return float(np.mean(each)) if each else float("nan")

    def micro(counts: np.ndarray) -> float:
        labels = counts @ both.sum(axis=1)
        return float(2 * (counts @ hits.sum(axis=1)) / labels) if labels else float("nan")

    def macro(counts: np.ndarray) -> float:
        held = counts @ true > 0
        return float(np.mean(2 * (counts @ hits)[held] / (counts @ both)[held])) if held.any() else float("nan")

    images, at = found.images, f"at a probability of {THRESHOLD:g}"
    intervals = [bootstrap(figure, images, true.size) for figure in (mean_average_precision, micro, macro)]
    exact = int((taken == true).all(axis=1).sum())
    figures = [
        Figure("mAP", "map", found.mean_average_precision, intervals[0], "mean average precision of the classes"),
        Figure("micro F1", "f1_micro", found.micro_f1, intervals[1], f"of all labels together, {at}"),
        Figure("macro F1", "f1_macro", found.macro_f1, intervals[2], f"mean of the classes, {at}"),
        Figure("exact", "exact_match", found.exact, wilson(exact, images), f"images without a wrong label, {at}"),
        Figure("loss", "loss", found.loss, None, "binary cross-entropy of a label, nats", share=False),
    ]
    limits = [f"{found.undefined:,} images have no finite score."] if found.undefined else []
    rows = [
        (each.name, f"{each.images:,}", *map(shown, (each.average_precision, each.precision, each.recall, each.f1)))
        for each in found.figures
    ]
    return results_with(found, *figures, limits=limits).by_class(
        ("class", "test images", "average precision", "precision", "recall", "F1"),
        rows,
        [each.average_precision for each in found.figures],
        [each.images for each in found.figures],
    )
