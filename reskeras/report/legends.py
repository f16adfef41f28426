"""Legends: of a plot's lines, inside or below it, and the key of line styles below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from rich.cells import cell_len

from reskeras.report.fonts import shortened
from reskeras.report.styles import BAND, CHARACTER, GREY, SMALL

MOST_INSIDE = 6  # labels of a legend inside the plot
LONGEST_INSIDE = 24  # characters of a label there
LONGEST_NAME = 36  # characters of any label
HANDLE, ROW = 0.75, 1.45 * SMALL / 72  # inches: of a handle with the space around it, and of a row

Key = Mapping[str, Mapping[str, Any]]  # what a style means, and the style: of lines, or BAND


def add_legend(axes: Axes | Sequence[Axes], key: Key | None = None, inside: bool = True) -> None:
    """Add a legend of what is labelled: if there are few, `inside` the first plot, else below all, where the `key` is;
    the figure gets the height that this takes."""
    several = [axes] if isinstance(axes, Axes) else list(axes)
    handles: list[Any] = [handle for axis in several for handle in axis.get_legend_handles_labels()[0]]
    labels: list[str] = [label for axis in several for label in axis.get_legend_handles_labels()[1]]
    key = key or {}
    if inside and len(labels) <= MOST_INSIDE and max(map(cell_len, labels), default=0) <= LONGEST_INSIDE:
        several[0].legend(handles, labels)
        handles, labels = [], []
    _below(several[0].figure, [*handles, *_handles(key)], [*labels, *key])


def add_key(figure: Any, key: Key) -> None:
    """Explain styles below the axes."""
    _below(figure, _handles(key), list(key))


def _handles(key: Key) -> list[Any]:
    """What shows each style, grey where it has no colour."""
    return [
        Patch(facecolor=GREY, **style) if style is BAND else Line2D([], [], **{"color": GREY, **style})
        for style in key.values()
    ]


def _below(figure: Any, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """One legend below the axes, in as many columns as the figure is wide for; each row makes it higher."""
    if not handles:
        return
    width, height = figure.get_size_inches()
    rows = next((rows for rows in range(1, len(labels)) if _width(labels, rows) <= width), len(labels))
    figure.set_size_inches(width, height + rows * ROW)
    columns = -(-len(labels) // rows)
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=2.2, columnspacing=1.4)


def _width(labels: Sequence[str], rows: int) -> float:
    """Inches of a legend of so many rows, filled column by column; the first columns may have one more than others."""
    columns = -(-len(labels) // rows)
    least, more = divmod(len(labels), columns)
    ends = list(accumulate([least + 1] * more + [least] * (columns - more)))
    parts = [labels[start:end] for start, end in pairwise([0, *ends])]
    widest = (max(cell_len(shortened(label, LONGEST_NAME)) for label in part) for part in parts)
    return sum(HANDLE + cells * CHARACTER * SMALL / 72 for cells in widest)
