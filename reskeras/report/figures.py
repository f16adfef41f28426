"""The figure class of all plots: matplotlib's, with texts shown literally, in fonts that have their characters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, Formatter, FuncFormatter, LogFormatter, LogFormatterMathtext, MaxNLocator

from reskeras.files import atomic_file
from reskeras.report.fonts import drawable, shortened
from reskeras.report.labels import EndLabel, spread_labels
from reskeras.report.legends import LONGEST_NAME
from reskeras.report.styles import BAND, CHARACTER, DEVIATION, FACTOR, HEIGHT, LINE, WIDTH, plot_style
from reskeras.report.titles import fit_title

KINDS = ("png", "svg")
POINTS = 9  # markers on a line
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Figure(MatplotlibFigure):
    """A figure whose texts are shown literally: no mathtext between dollar signs, no control characters, no boxes for
    missing glyphs; names that are too long have their middle replaced by an ellipsis."""

    def __init__(self, width: float = WIDTH, height: float = HEIGHT, **keywords: Any):
        """A figure of that many inches; to be made and filled by a function that is `styled`."""
        super().__init__(**{"figsize": (width, height), "layout": "constrained", **keywords})

    def draw(self, renderer: Any) -> None:
        """Draw on a renderer; every way of saving a figure calls this."""
        with plot_style():
            for axes in self.axes:
                for axis in (axes.xaxis, axes.yaxis):
                    _plain_ticks(axis)
            labels = {id(text) for legend in self.findobj(Legend) for text in legend.get_texts()}
            for text in self.findobj(Text):
                limit = LONGEST_NAME if id(text) in labels else self._room(text)
                _plain(text, limit)
            if engine := self.get_layout_engine():
                engine.execute(
                    self
                )  # labels are spread over the height that their axes get, titles fitted to the width
            for axes in self.axes:
                spread_labels(axes, renderer)
                fit_title(axes, renderer)
            super().draw(renderer)

    def savefig(self, fname: Any, **keywords: Any) -> None:
        """As matplotlib's, but reproducible: the same figure gives the same bytes."""
        dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        kind = keywords.get("format") or Path(str(fname)).suffix[1:].lower()
        with plot_style():
            super().savefig(fname, **{"metadata": dates.get(kind), **keywords})

    def _room(self, text: Text) -> int:
        """Characters that fit on one line of the figure."""
        width = self.get_size_inches()[0] if text.get_rotation() % 180 == 0 else self.get_size_inches()[1]
        return max(int(0.95 * width * 72 / (CHARACTER * float(text.get_fontsize()))), LONGEST_NAME)


def save_figure(figure: Figure, path: Path, kind: str | None = None) -> Path:
    """Write a figure atomically, in the format `kind` or that of the path's suffix."""
    with atomic_file(path) as beside:
        figure.savefig(beside, format=kind or path.suffix[1:].lower())
    return path


def save_figures(figures: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Write figures by name to `folder`, each as PNG and SVG."""
    return [save_figure(figure, folder / f"{name}.{kind}") for name, figure in figures.items() for kind in KINDS]


def plot_line(axis: Axes, x: Iterable[float], y: Iterable[float | None], **style: Any) -> Line2D:
    """Plot a line, with a few of the style's markers if it has any; None is a gap, and isolated points are shown as
    dots."""
    heights = [math.nan if each is None else float(each) for each in y]
    known = [math.isfinite(each) for each in heights]
    alone = [
        place
        for place, here in enumerate(known)
        if here and not any(known[max(place - 1, 0) : place]) and not any(known[place + 1 : place + 2])
    ]
    if marker := style.get("marker"):
        alone = sorted({*alone, *range(0, len(heights), math.ceil(len(heights) / POINTS))}) if heights else []
    if alone:
        size = 3 + style.get("linewidth", LINE)
        style = {"markersize": size, "markevery": alone, **style, "marker": marker or "o"}
    [line] = axis.plot(list(x), heights, **style)
    return line


def plot_band(axis: Axes, x: Sequence[float], runs: Sequence[Sequence[float | None]], **style: Any) -> Line2D:
    """Plot the mean of several runs of a line, over those that have a value, in a band of one sample standard deviation
    either way; on a logarithmic axis both are the geometric ones. `deviation_of` says which. A single run has no
    band."""
    values = np.ma.masked_invalid([[math.nan if each is None else float(each) for each in run] for run in runs])
    log = axis.get_yscale() == "log"
    values = np.ma.log(values) if log else values
    back = np.exp if log else np.asarray
    middle = values.mean(axis=0).filled(math.nan)
    line = plot_line(axis, x, back(middle).tolist(), **style)
    if len(runs) > 1:
        deviation = values.std(axis=0, ddof=1).filled(0.0)  # of a single value
        axis.fill_between(x, back(middle - deviation), back(middle + deviation), color=line.get_color(), **BAND)
    return line


def deviation_of(axis: Axes) -> str:
    """What a band of `plot_band` in `axis` is, for the key."""
    return FACTOR if axis.get_yscale() == "log" else DEVIATION


def log_where_positive(axis: Axes, values: Iterable[float]) -> None:
    """Use a logarithmic y axis for `values`, before they are plotted, unless one is not positive."""
    if all(value > 0 for value in values if math.isfinite(value)):
        axis.set_yscale("log")


def round_limits(axis: Axes) -> None:
    """End a logarithmic y axis, after all is plotted, at 1, 2, 3 or 5 times a power of ten: labelled ticks enclose
    the values."""
    low, high = axis.dataLim.intervaly
    if axis.get_yscale() != "log" or not 0 < low <= high < math.inf:
        return
    steps = np.outer(10.0 ** np.arange(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2), (1, 2, 3, 5))
    steps = steps.ravel()
    axis.set_ylim(steps[steps < low * 0.999].max(), steps[steps > high * 1.001].min())


def whole_numbers(axis: Axis) -> None:
    """Put ticks at whole numbers only, as for epochs and layers."""
    axis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1, steps=[1, 2, 2.5, 5, 10]))


def _plain(text: Text, limit: int) -> None:
    text.set_usetex(False)
    text.set_parse_math(False)
    if text.get_text():
        lines = text.get_text().split("\n") if isinstance(text, EndLabel) else [text.get_text()]
        written = [drawable(line) for line in lines]
        text.set_text("\n".join(shortened(line, limit) for line, _ in written))
        families = list(dict.fromkeys(family for _, those in written for family in those))
        text.set_fontfamily(families)
        if len(families) > 1:
            text.set_fontweight("normal")  # the only weight that all are known to have; matplotlib would warn


def _plain_ticks(axis: Axis) -> None:
    """Make tick labels plain text; choose fonts for names, and shorten them."""
    major, minor = axis.get_major_formatter(), axis.get_minor_formatter()
    if isinstance(major, FuncFormatter | FixedFormatter):
        axis.set_major_formatter(_Names(major))
    for formatter, change in ((major, axis.set_major_formatter), (minor, axis.set_minor_formatter)):
        if isinstance(formatter, LogFormatterMathtext):
            change(_Powers(minor_thresholds=formatter.minor_thresholds))
    for text in axis.get_ticklabels(which="both"):  # which makes those that are still missing
        _plain(text, LONGEST_NAME)


class _Names(Formatter):
    """Wraps another formatter and shows its labels as `Figure` shows names."""

    def __init__(self, labels: Formatter):
        self.labels = labels

    def set_axis(self, axis: Any) -> None:
        """Set the axis, also of the wrapped formatter."""
        super().set_axis(axis)
        self.labels.set_axis(axis)

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The label of a tick."""
        return shortened(drawable(self.labels(x, pos))[0], LONGEST_NAME)


class _Powers(LogFormatter):
    """Tick labels of a logarithmic axis, such as 10⁻³, without mathtext."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The label of a tick; empty where there is none."""
        return _power(x) if super().__call__(x, pos) else ""


def _power(number: float) -> str:
    if 0.001 <= number < 1000:
        return f"{number:g}"
    exponent = math.floor(math.log10(number) + 1e-9)
    factor = number / 10.0**exponent
    power = "10" + str(exponent).translate(SUPERSCRIPTS)
    return power if abs(factor - 1) < 1e-6 else f"{factor:.2g}×{power}"
