"""The plot of a confusion matrix: shares of each row, right ones and wrong ones on scales of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

LEAST_MISTAKE = 0.01  # the colour scale of mistakes goes at least up to this share
NAMED = 40  # up to so many rows, names and counts are written


def draw_counts(counts: np.ndarray, true: Sequence[str], predicted: Sequence[str], title: str) -> Any:
    """A matplotlib figure of counts (n, n), whose rows are called `true` and columns `predicted`; what is on the
    diagonal is right where both have the same name."""
    from matplotlib.colors import PowerNorm
    from matplotlib.ticker import PercentFormatter

    from reskeras.report.figures import Figure

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = np.diag([one == other for one, other in zip(true, predicted, strict=True)])
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
    axis.set(xlabel="predicted class", ylabel="true class", title=title)
    if len(counts) <= NAMED:
        axis.set_xticks(range(len(predicted)), predicted, rotation=90 if max(map(len, predicted)) > 3 else 0)
        axis.set_yticks(range(len(true)), true)
        for (row, column), count in np.ndenumerate(counts):
            if count:
                dark = shares[row, column] > 0.6 if right[row, column] else scale(shares[row, column]) > 0.6
                axis.text(
                    column, row, str(count), ha="center", va="center", fontsize=8, color="white" if dark else "black"
                )
    return figure
