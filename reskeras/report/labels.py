"""Direct labels at the ends of lines in place of a legend, and marks of published figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.transforms import ScaledTranslation
from rich.cells import cell_len

from reskeras.report.fonts import drawable, shortened
from reskeras.report.styles import CHARACTER, MARK, SIZE

MOST_DIRECT = 12  # labels at one axis; more are a legend
LONGEST_DIRECT = 28  # characters of a name
MOST_STACKED, LONGEST_BESIDE = 6, 16  # up to so many labels, with more characters each, are of two lines
ROOM = 1.6  # inches that a figure has for labels without being widened


@dataclass(frozen=True)
class End:
    """The end of a line in data coordinates, and its label; without `y` the line has no points."""

    name: str
    figure: str
    colour: str
    x: float
    y: float | None

    def lines(self, stacked: bool) -> list[str]:
        """Name and final figure, below each other if `stacked`."""
        name = shortened(drawable(self.name)[0], LONGEST_DIRECT)
        return [name, self.figure] if stacked and self.figure else [f"{name} {self.figure}".strip()]


class EndLabel(Annotation):
    """A label right of its axes, at the height of the end of its line or, where others are, near it."""


def end_of(name: str, line: Line2D, figure: str = "") -> End:
    """The last known point of a line."""
    x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
    known = np.flatnonzero(np.isfinite(y))
    last = int(known[-1]) if len(known) else -1
    return End(
        name, figure, str(line.get_color()), float(x[last]) if len(x) else 0.0, float(y[last]) if len(known) else None
    )


def stacked(ends: Sequence[End], columns: int = 1) -> bool:
    """Whether the labels of one of several `columns` of axes have two lines: name and figure."""
    longest = max((cell_len(line) for end in ends for line in end.lines(False)), default=0)
    return columns > 1 or (len(ends) <= MOST_STACKED and longest > LONGEST_BESIDE)


def label_ends(axes: Axes, ends: Sequence[End], gutter: float = 0.0, columns: int = 1) -> None:
    """Label lines at the right of `axes`, one of several `columns`, `gutter` points away, joined to their ends by thin
    lines."""
    two = stacked(ends, columns)
    figure: Any = axes.figure
    right = axes.transAxes + ScaledTranslation((gutter + 11) / 72, 0, figure.dpi_scale_trans)
    for end in ends:
        leader: dict[str, Any] = {
            "arrowstyle": "-",
            "color": end.colour,
            "linewidth": 0.9,
            "alpha": 0.7,
            "relpos": (0, 0.5),
        }
        axes.add_artist(
            EndLabel(
                "\n".join(end.lines(two)),
                xy=(end.x, end.y or 0.0),
                xytext=(1.0, 0.0),
                textcoords=right,
                color=end.colour,
                fontsize=SIZE,
                va="center",
                annotation_clip=False,
                clip_on=False,
                arrowprops=None if end.y is None else {**leader, "shrinkA": 2, "shrinkB": 2},
            )
        )


def make_room(figure: Any, ends: Iterable[Sequence[End]], columns: int = 1) -> None:
    """Widen a figure of `columns` of axes if the labels of any of these, `ends`, are wide."""
    lines = (line for labels in ends for end in labels for line in end.lines(stacked(labels, columns)))
    widest = max(map(cell_len, lines), default=0) * CHARACTER * SIZE / 72
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + columns * max(widest - ROOM, 0.0), height)


def spread_labels(axes: Axes, renderer: Any) -> None:
    """Move the labels at the right of `axes` so that none overlaps another, each as near to its line as can be; smaller
    ones where there is no room for all."""
    labels = [text for text in axes.findobj(EndLabel) if text.axes is axes]
    if not labels:
        return
    room = axes.get_window_extent(renderer).height
    tallest = _tallest(labels, renderer)
    if tallest * len(labels) > room:
        for label in labels:
            label.set_fontsize(float(label.get_fontsize()) * room / (tallest * len(labels)))
        tallest = _tallest(labels, renderer)
    ends = axes.transAxes.inverted().transform(axes.transData.transform([label.xy for label in labels]))[:, 1]
    gap = min(tallest / room, 1 / len(labels))
    for label, height in zip(labels, spread(ends, gap), strict=True):
        label.set_position((1.0, height))


def _tallest(labels: Sequence[Text], renderer: Any) -> float:
    """Height of the tallest label in pixels, with the space between two."""
    return 1.08 * max(Text.get_window_extent(label, renderer).height for label in labels)


def spread(targets: Sequence[float] | np.ndarray, gap: float) -> np.ndarray:
    """Places in the unit interval at least `gap` apart and half a gap from its ends, in the order of `targets` and with
    the least sum of squared distances from them."""
    order = np.argsort(targets, kind="stable")
    steps = gap * np.arange(len(order))
    wanted = np.asarray(targets, float)[order] - steps
    count = len(wanted)
    # isotonic regression: the largest, over beginnings at or before a place, of the least mean to ends at or after it
    fitted = [
        max(min(wanted[low : high + 1].mean() for high in range(place, count)) for low in range(place + 1))
        for place in range(count)
    ]
    places = np.empty(len(order))
    places[order] = np.clip(fitted, gap / 2, max(1 - gap / 2 - gap * (len(order) - 1), gap / 2)) + steps
    return places


def mark_published(axes: Axes, marks: Sequence[tuple[float, str]]) -> float:
    """Mark published values (with colours) by hollow diamonds right of `axes`, whose limits have been set; side by side
    where they would overlap. Returns the width that they take, in points."""
    figure: Any = axes.figure
    low, high = axes.get_ylim()
    near = 1.2 * MARK["markersize"] / 72 / (0.75 * figure.get_size_inches()[1]) * (high - low)
    columns: list[list[float]] = []
    for value, colour in marks:
        free = (place for place, column in enumerate(columns) if all(abs(value - each) > near for each in column))
        place = next(free, len(columns))
        columns[place:] = columns[place:] or [[]]
        columns[place].append(value)
        shift = ScaledTranslation((5 + 9 * place) / 72, 0, figure.dpi_scale_trans)
        axes.plot(
            [1.0], [value], transform=axes.get_yaxis_transform() + shift, clip_on=False, color=colour, zorder=3, **MARK
        )
    return 9.0 * len(columns)
