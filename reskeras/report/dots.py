"""Dot plots: the figures of each row, a dot for each seed, beside published ones; they show what is close together."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reskeras.report.styles import MARK, WIDTH, Panels, line_styles, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW, REST = 0.36, 1.1  # inches: for each row, and above and below them
DOT: dict[str, Any] = {"marker": "o", "markersize": 7, "markeredgewidth": 0, "linestyle": "none", "alpha": 0.75}
MEAN: dict[str, Any] = {"marker": "|", "markersize": 17, "markeredgewidth": 1.6, "linestyle": "none"}


@dataclass(frozen=True)
class Dots:
    """A measure in per cent: its values by row, one for each seed, and the published ones; of rows that have any."""

    title: str
    values: Mapping[str, Sequence[float]]
    published: Mapping[str, float]


@styled
def draw_dots(measures: Sequence[Dots], rows: Sequence[str], panels: Panels | None = None) -> Any:
    """A matplotlib figure: `rows` below each other, the measures side by side, each on its own scale; means are bars.

    Colours are those that the rows have as networks of `draw_curves`, with the same `panels`.
    """
    from reskeras.report.figures import Figure
    from reskeras.report.legends import add_key

    styles = line_styles(rows, panels=panels and {row: panels.get(row, ("", row)) for row in rows})
    figure = Figure(WIDTH, REST + ROW * len(rows))
    grid = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axis, measure in zip(grid, measures, strict=True):
        for place, row in enumerate(rows):
            _draw_row(axis, place, measure.values.get(row, ()), measure.published.get(row), styles[row]["color"])
        axis.set_title(measure.title)
        axis.set_xlabel("%")
        axis.margins(x=0.12)
    grid[0].set_yticks(range(len(rows)), rows)
    grid[0].set_ylim(len(rows) - 0.5, -0.5)
    key = {"a seed": DOT}
    if any(len(values) > 1 for measure in measures for values in measure.values.values()):
        key["mean"] = MEAN
    if any(measure.published for measure in measures):
        key["published, another protocol"] = MARK
    add_key(figure, key)
    return figure


def _draw_row(axis: Axes, place: int, values: Sequence[float], published: float | None, colour: str) -> None:
    axis.plot(values, [place] * len(values), color=colour, **DOT)
    if len(values) > 1:
        axis.plot([statistics.fmean(values)], [place], color=colour, **MEAN)
    if published is not None:
        axis.plot([published], [place], color=colour, **MARK)


def dots_in_words(measures: Sequence[Dots]) -> str:
    """Alternative text of the plot."""
    told = ["A dot for each seed of each row."]
    for measure in measures:
        means = {row: statistics.fmean(values) for row, values in measure.values.items() if values}
        told.append(f"{measure.title.capitalize()}: {_listed(means)}.")
        told += [f"Published: {_listed(measure.published)}."] if measure.published else []
    return " ".join(told)


def _listed(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{row} {value:.2f}%" for row, value in figures.items())
