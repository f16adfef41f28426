"""Confusion matrices as plots or CSV files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reskeras.errors import ReskerasError
from reskeras.evaluation.accuracy import Evaluation
from reskeras.files import write_csv

LEAST_MISTAKE = 0.01  # the colour scale of mistakes goes at least up to this share
NAMED = 40  # up to so many classes, names and counts are written
KINDS = (".png", ".svg", ".csv")


def check_kind(path: Path) -> None:
    """Raise ReskerasError when nothing can be written to a file of that name."""
    if path.suffix not in KINDS:
        raise ReskerasError(f"confusion: {path} must end in one of {', '.join(KINDS)}")


def save_confusion(result: Evaluation, path: Path) -> None:
    """Write it to `path`: rows are true classes, columns predicted ones; colour is the share of the row."""
    from reskeras.report.figures import save_figure

    check_kind(path)
    counts = result.confusion()
    if path.suffix == ".csv":
        rows = zip(result.classes, counts.tolist(), strict=True)
        write_csv(path, [["class", *result.classes], *([name, *row] for name, row in rows)])
        return
    save_figure(draw_confusion(result), path)


def draw_confusion(result: Evaluation) -> Any:
    """The same as a matplotlib figure."""
    from matplotlib.colors import PowerNorm
    from matplotlib.ticker import PercentFormatter

    from reskeras.report.figures import Figure

    counts = result.confusion()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = np.eye(len(counts), dtype=bool)
    most = max(float(shares[~right].max(initial=0.0)), LEAST_MISTAKE)
    size = float(np.clip(0.55 * len(counts) + 2.5, 5.5, 14))
    figure = Figure(1.12 * size, 0.94 * size)
    axis = figure.subplots()
    # mistakes have a scale of their own, steep at its start: on that of the right ones they would all be pale
    scale = PowerNorm(0.5, vmin=0, vmax=most)
    hits = axis.imshow(np.ma.array(shares, mask=~right), cmap="Greens", vmin=0, vmax=1)
    mistakes = axis.imshow(np.ma.array(shares, mask=right | (counts == 0)), cmap="Reds", norm=scale)
    for drawn, label in ((mistakes, "wrong"), (hits, "correct")):
        figure.colorbar(
            drawn, ax=axis, shrink=0.6, format=PercentFormatter(1.0), label=f"share of the true class, {label}"
        )
    axis.set(
        xlabel="predicted class",
        ylabel="true class",
        title=f"{result.data}, {result.split} split: {result.top1:.2%} of {result.images:,} correct",
    )
    if len(counts) <= NAMED:
        turned = 90 if max(map(len, result.classes)) > 3 else 0
        axis.set_xticks(range(len(counts)), result.classes, rotation=turned)
        axis.set_yticks(range(len(counts)), result.classes)
        for (row, column), count in np.ndenumerate(counts):
            if count:
                dark = shares[row, column] > 0.6 if row == column else scale(shares[row, column]) > 0.6
                axis.text(
                    column, row, str(count), ha="center", va="center", fontsize=8, color="white" if dark else "black"
                )
    return figure
