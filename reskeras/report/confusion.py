"""A confusion matrix as a picture or a CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reskeras.errors import ReskerasError
from reskeras.evaluation.accuracy import Evaluation
from reskeras.files import atomic_file, write_csv

NAMED = 40  # classes up to which each is named and each number is written
KINDS = (".png", ".svg", ".csv")


def check_kind(path: Path) -> None:
    """Raise ReskerasError when nothing can be written to a file of that name."""
    if path.suffix not in KINDS:
        raise ReskerasError(f"confusion: {path}: a file name should end in one of {', '.join(KINDS)}")


def save_confusion(result: Evaluation, path: Path) -> None:
    """Rows are true classes, columns what they were taken for; colour is the share of the row."""
    check_kind(path)
    counts = result.confusion()
    if path.suffix == ".csv":
        rows = zip(result.classes, counts.tolist(), strict=True)
        write_csv(path, [["class", *result.classes], *([name, *row] for name, row in rows)])
        return
    with atomic_file(path) as beside:
        draw_confusion(result).savefig(beside, dpi=130)


def draw_confusion(result: Evaluation) -> Any:
    """The same as a matplotlib figure."""
    from matplotlib.figure import Figure

    counts = result.confusion()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = float(np.clip(0.55 * len(counts) + 2, 4, 14))
    figure = Figure(figsize=(size, size), layout="constrained")
    axis = figure.subplots()
    shown = axis.imshow(shares, cmap="Greens", vmin=0, vmax=1)
    figure.colorbar(shown, ax=axis, shrink=0.6, label="share of the true class")
    axis.set(xlabel="taken for", ylabel="true class",
             title=f"{result.data}, {result.split} split: {result.top1:.2%} of {result.images:,}")
    if len(counts) <= NAMED:
        axis.set_xticks(range(len(counts)), result.classes, rotation=90)
        axis.set_yticks(range(len(counts)), result.classes)
        for (row, column), count in np.ndenumerate(counts):
            if count:
                axis.text(column, row, str(count), ha="center", va="center", fontsize=8,
                          color="white" if shares[row, column] > 0.6 else "black")
    return figure
