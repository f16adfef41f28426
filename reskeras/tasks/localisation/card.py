"""What the model card of a localiser or a refiner says of its test: wrong boxes where the class is given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reskeras.evaluation.intervals import bootstrap
from reskeras.report.card_results import CardResults, Figure, results_with
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.localisation.evaluation import LocalisationEvaluation
from reskeras.tasks.localisation.rule import OVERLAP


def localiser_results(found: LocalisationEvaluation, objects: Objects) -> CardResults:
    """The error and the mean IoU, beside the errors of boxes that know nothing, and both by class."""
    true = objects.held(len(found.classes))
    held = true.sum(axis=1)
    wrong, covered = (true & ~found.right).sum(axis=1), np.where(true, found.overlaps, 0).sum(axis=1)

    def mean(of: np.ndarray) -> Callable[[np.ndarray], float]:
        return lambda counts: float(counts @ of / (counts @ held))

    intervals = [bootstrap(mean(of), found.images, found.images) for of in (wrong, covered)]
    nothing = (
        f"wrong boxes where the class is given, right at an IoU of {OVERLAP:g}; the middle half of every image has "
        f"{found.centre:.2%}, the mean box of the training images {found.mean:.2%}"
    )
    figures = [
        Figure("error", "localization_error", found.error, intervals[0], nothing),
        Figure("mean IoU", "mean_iou", found.overlap, intervals[1], "of these boxes"),
    ]
    shown = [("" if each is None else f"{each:.2%}" for each in (own.error, own.overlap)) for own in found.classes]
    rows = [(own.name, f"{own.images:,}", *told) for own, told in zip(found.classes, shown, strict=True)]
    return results_with(found, *figures).by_class(
        ("class", "test images", "error", "mean IoU"),
        rows,
        [None if own.error is None else -own.error for own in found.classes],
        [own.images for own in found.classes],
    )
