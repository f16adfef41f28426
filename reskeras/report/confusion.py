"""The plot of a confusion matrix: shares of each row, right ones and wrong ones on scales of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.cells import cell_len

from reskeras.report.styles import CHARACTER, SMALL, WIDTH, styled

LEAST_MISTAKE = 0.01  # the colour scale of mistakes goes at least up to this share
NAMED = 40  # up to so many rows, names and counts are written
CELLS = (0.42, 1.3)  # inches of a cell, at least and at most
WIDEST, BARS = 15.0, 1.9  # inches: of the figure at most, and of its title and colour bars
LARGEST, SMALLEST = 12.0, 5.0  # font of counts
HITS, MISTAKES = "Blues", "Oranges"  # told apart by all eyes
PALEST_OF_HITS = 0.5  # of their colours the paler ones, so that the diagonal does not outshine the mistakes


@styled
def draw_counts(counts: np.ndarray, true: Sequence[str], predicted: Sequence[str], title: str) -> Any:
    """A matplotlib figure of counts (n, n), whose rows are called `true` and columns `predicted`; what is on the
    diagonal is right where both have the same name."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap, PowerNorm

    from reskeras.report.figures import Figure

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = np.diag([one == other for one, other in zip(true, predicted, strict=True)])
    most = max(float(shares[~right].max(initial=0.0)), LEAST_MISTAKE)
    named = len(counts) <= NAMED
    beside, below = (_room(names) if named else 0.6 for names in (true, predicted))
    width = float(np.clip(beside + CELLS[0] * len(counts), WIDTH, WIDEST))
    cell = min((width - beside) / len(counts), CELLS[1])
    figure = Figure(width, cell * len(counts) + below + BARS, layout="compressed")
    axis = figure.subplots()
    axis.grid(visible=False)
    # mistakes have a scale of their own, steep at its start: on that of the right ones they would all be pale
    scale = PowerNorm(0.5, vmin=0, vmax=most)
    pale = ListedColormap(colormaps[HITS](np.linspace(0, PALEST_OF_HITS, 256)))
    hits = axis.imshow(np.ma.array(shares, mask=~right), cmap=pale, vmin=0, vmax=1)
    mistakes = axis.imshow(np.ma.array(shares, mask=right | (counts == 0)), cmap=MISTAKES, norm=scale)
    axis.set(xlabel="predicted class", ylabel="true class", title=title)
    if named:
        axis.set_xticks(range(len(predicted)), predicted, rotation=90 if max(map(cell_len, predicted)) > 3 else 0)
        axis.set_yticks(range(len(true)), true)
        digits = len(str(counts.max(initial=0)))
        size = float(np.clip(0.85 * 72 * cell / (CHARACTER * digits), SMALLEST, LARGEST))
        for (row, column), count in np.ndenumerate(counts):
            if count:
                dark = not right[row, column] and scale(shares[row, column]) > 0.6
                colour = "white" if dark else "black"
                axis.text(column, row, str(count), ha="center", va="center", fontsize=size, color=colour)
    else:
        axis.spines[:].set_visible(True)
    _add_bars(figure, axis, {"correct": (hits, (0, 0.5, 1)), "wrong": (mistakes, (0, most / 4, most))})
    return figure


def _room(names: Sequence[str]) -> float:
    """Inches that the names and the label of an axis take."""
    from reskeras.report.legends import LONGEST_NAME

    return 0.6 + min(max(map(cell_len, names), default=0), LONGEST_NAME) * CHARACTER * SMALL / 72


def _add_bars(figure: Any, axis: Any, scales: Mapping[str, tuple[Any, Sequence[float]]]) -> None:
    """Colour bars below the matrix, of what is drawn, with ticks."""
    from matplotlib.ticker import FuncFormatter

    for what, (drawn, ticks) in scales.items():
        figure.colorbar(
            drawn,
            ax=axis,
            location="bottom",
            shrink=0.6,
            aspect=40,
            pad=0.02,
            ticks=ticks,
            format=FuncFormatter(lambda share, _: f"{100 * share:.2g}%" if share < 0.995 else "100%"),
            label=f"share of the true class, {what}",
        )
