"""The report page of multi-label classifiers: curves, analysis, figures of each class, worst mistakes, exports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from reskeras.evaluation.multilabel import THRESHOLD, LabelEvaluation
from reskeras.printable import counted
from reskeras.report.sections import Gallery, Page, Section, Table
from reskeras.tasks.classification.page import MISTAKES, ClassifierMaterial, gallery, page_of_parts, summary

MAP = "average_precision"


def page_of(runs: Sequence[ClassifierMaterial]) -> Page:
    """One page for one run or several."""
    told = partial(
        summary,
        log=(MAP, "training mAP", shown),
        figures={
            "test mAP": lambda found: shown(found.mean_average_precision),
            "micro F1": lambda found: shown(found.micro_f1),
            "macro F1": lambda found: shown(found.macro_f1),
        },
        caption="Training mAP: on the last epoch's augmented batches; test figures: of the best model, single view, "
        f"float32; F1 at a probability of {THRESHOLD:g}.",
    )
    return page_of_parts(runs, told, _judged, MAP)


def shown(value: float | None) -> str:
    """A share in per cent; empty where there is none."""
    return "" if value is None else f"{value:.2%}"


def _judged(run: ClassifierMaterial, of: str) -> Iterator[Section]:
    found: LabelEvaluation | None = run.evaluation
    if found is None:
        return
    yield Table(
        f"Classes{of}",
        ["class", "test images", "average precision", "precision", "recall", "F1", "predicted"],
        [
            [
                each.name,
                f"{each.images:,}",
                *map(shown, (each.average_precision, each.precision, each.recall, each.f1)),
                f"{each.predicted:,}",
            ]
            for each in found.figures
        ],
        f"Precision, recall, F1 and predicted images at a probability of {THRESHOLD:g}; average precision over all.",
    )
    wrong = np.flatnonzero((found.predicted != (found.labels > 0)).any(axis=1))
    if not len(wrong) or run.test is None:
        return
    losses = found.losses()
    worst = wrong[np.argsort(-losses[wrong], kind="stable")][:MISTAKES]
    told = [(found.of(found.labels[index]) or "none", found.of(found.predicted[index]) or "none") for index in worst]
    yield Gallery(
        f"Worst mistakes{of}",
        gallery(
            run,
            worst,
            [
                f"{true}, predicted {taken} (loss {losses[index]:.2f})"
                for index, (true, taken) in zip(worst, told, strict=True)
            ],
        ),
        f"Of {counted(len(wrong), 'test image')} with a wrong label, the {len(worst)} with the largest loss.",
    )
