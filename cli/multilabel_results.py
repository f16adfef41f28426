"""Printed output of evaluations of multi-label classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reskeras.printable import counted

from .output import facts
from .tables import Column, table

if TYPE_CHECKING:
    from reskeras.evaluation.multilabel import LabelEvaluation
    from reskeras.tasks.multilabel.run import MultiLabelRun


def echo_evaluation(result: LabelEvaluation, run: MultiLabelRun | None = None) -> None:
    """Print average precision, F1 and loss on a split."""
    from reskeras.evaluation.multilabel import THRESHOLD

    known = [each for each in result.figures if each.images]
    lacking = len(result.figures) - len(known)
    over = f"mean over {counted(len(known), 'class', 'classes')}"
    over += f"; {lacking:,} {'has' if lacking == 1 else 'have'} no image" if lacking else ""
    rows = [
        ("images", f"{result.images:,}", f"{result.data}, {result.split} split, {result.views}, float32"),
        ("mAP", f"{result.mean_average_precision:.2%}", over),
        ("F1", _share(result.micro_f1), f"all labels at {THRESHOLD:g}; mean over classes {_share(result.macro_f1)}"),
        ("exact", f"{result.exact:.2%}", "images without a wrong label"),
    ]
    if result.undefined:
        rows.append(("undefined", f"{result.undefined:,}", "images without a finite score, counted as having no class"))
    facts([*rows, ("loss", f"{result.loss:.4f}", "binary cross-entropy of a label, nats")])


def echo_classes(result: LabelEvaluation) -> None:
    """Print a line for each class."""
    titles = ("images", "average precision", "precision", "recall", "F1", "predicted")
    table(
        [Column("class"), *(Column(title, right=True) for title in titles)],
        [
            (
                each.name,
                f"{each.images:,}",
                *map(_share, (each.average_precision, each.precision, each.recall, each.f1)),
                f"{each.predicted:,}",
            )
            for each in result.figures
        ],
    )


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
