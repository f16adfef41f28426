"""What the model card of a classifier says of its test: accuracy, of all images and by class."""

from __future__ import annotations

from reskeras.evaluation.accuracy import Evaluation
from reskeras.evaluation.intervals import wilson
from reskeras.report.card_results import CardResults, Figure, interval_told, results_with


def classifier_results(found: Evaluation) -> CardResults:
    """Top-1 and top-5 accuracy, the loss, and the accuracy of each class."""
    right = int(found.right.sum())
    figures = [Figure("top-1 accuracy", "accuracy", found.top1, wilson(right, found.images))]
    if found.top5 is not None:
        interval = wilson(round(found.top5 * found.images), found.images)
        meaning = "the class is among the five most likely"
        figures.append(Figure("top-5 accuracy", "top_5_accuracy", found.top5, interval, meaning))
    figures.append(Figure("loss", "loss", found.loss, None, "cross-entropy, nats", share=False))
    limits = [f"{found.undefined:,} images have no finite score and count as wrong."] if found.undefined else []
    classes = found.by_class()
    rows = [
        (
            name,
            f"{count:,}",
            "" if accuracy is None else f"{accuracy:.2%}",
            interval_told(wilson(round((accuracy or 0) * count), count)),
        )
        for name, count, accuracy in classes
    ]
    return results_with(found, *figures, limits=limits).by_class(
        ("class", "test images", "accuracy", "95% interval"),
        rows,
        [accuracy for *_, accuracy in classes],
        [count for _, count, _ in classes],
    )
