"""Confusion matrices as plots or CSV files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reskeras.evaluation.accuracy import Evaluation
from reskeras.files import check_suffix, write_csv
from reskeras.report.confusion import draw_counts

KINDS = (".png", ".svg", ".csv")


def check_kind(path: Path) -> None:
    """Raise ReskerasError when nothing can be written to a file of that name."""
    check_suffix(path, "confusion", KINDS)


def save_confusion(result: Evaluation, path: Path) -> None:
    """Write it to `path`: rows are true classes, columns predicted ones; colour is the share of the row."""
    from reskeras.report.figures import save_figure

    check_kind(path)
    counts = result.confusion()
    if path.suffix.lower() == ".csv":
        rows = zip(result.classes, counts.tolist(), strict=True)
        write_csv(path, [["class", *result.classes], *([name, *row] for name, row in rows)])
        return
    save_figure(draw_confusion(result), path)


def draw_confusion(result: Evaluation) -> Any:
    """The same as a matplotlib figure."""
    title = f"{result.data}, {result.split} split: {result.top1:.2%} of {result.images:,} correct"
    return draw_counts(result.confusion(), result.classes, result.classes, title)
