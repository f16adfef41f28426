"""Plots of analyses, of one or several networks: layer responses as in v1 figure 7, signals, gradients, lesions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reskeras.analysis.analysis import Analysis
from reskeras.analysis.lesions import REMOVED, SWAPPED
from reskeras.report.styles import BAND, DOTTED, WIDTH, Panels, line_styles, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from reskeras.report.labels import End

Figures = dict[str, Any]
Values = Sequence[float | None]
LESIONS = {REMOVED: "Error with one unit removed", SWAPPED: "Error with two adjacent units swapped"}
ROW = 3.1  # inches of one plot above another


@dataclass(frozen=True)
class Series:
    """What is drawn as one line: an analysis, or the mean of several of one network."""

    name: str
    analyses: Sequence[Analysis]
    style: Mapping[str, Any]
    panel: str = ""  # what its dashes stand for

    @property
    def one(self) -> Analysis:
        """The first; the others have the same layers and units."""
        return self.analyses[0]

    def of(self, values: Callable[[Analysis], Values]) -> list[Values]:
        """`values` of each analysis."""
        return [values(analysis) for analysis in self.analyses]


@styled
def draw_analyses(
    analyses: Mapping[str, Analysis],
    networks: Mapping[str, str] | None = None,
    seeds: Mapping[str, str] | None = None,
    panels: Panels | None = None,
) -> Figures:
    """Matplotlib figures by title, with a line for each of `analyses` by name. The plot of lesions is left out if no
    analysis has any.

    Runs of one of `networks` (name of the run to name of the network) share a colour. Those with the same layers that
    `seeds` gives one name are one line, their mean, in a band of one standard deviation either way; on logarithmic axes
    both are geometric. With `panels` (as `draw_curves` has them) equal labels share a colour, and dashes tell the
    panels apart.

    Networks of different depth are laid over each other from the first layer to the last, so that their stages, their
    ends and their labels meet; those of one depth are drawn by layer.
    """
    series = _series(analyses, networks or {}, seeds or {}, panels)
    figures = {"responses": _responses(series), "signal": _signal(series), "gradients": _gradients(series)}
    if any(analysis.lesions for analysis in analyses.values()):
        figures["lesions"] = _lesions(series)
    return figures


def save_analyses(analyses: Mapping[str, Analysis], folder: Path) -> list[Path]:
    """Draw and write every figure to `folder` as PNG and SVG."""
    from reskeras.report.figures import save_figures

    return save_figures(draw_analyses(analyses), folder)


def _series(
    analyses: Mapping[str, Analysis], networks: Mapping[str, str], seeds: Mapping[str, str], panels: Panels | None
) -> list[Series]:
    """The lines of `analyses`: one for each name in `seeds` or each run, of those that measured the same places."""
    groups: dict[Any, list[str]] = {}
    for name, found in analyses.items():
        layers, units = (tuple(each.layer for each in found.responses), tuple(each.unit for each in found.units))
        places = (layers, units, tuple((each.kind, each.units) for each in found.lesions))
        groups.setdefault((seeds.get(name, name), places), []).append(name)
    together = [of for of, _ in groups]
    names = [of if together.count(of) == 1 else first for (of, _), (first, *_) in groups.items()]
    network_of = {name: networks.get(runs[0], runs[0]) for name, runs in zip(names, groups.values(), strict=True)}
    styles = line_styles(network_of, {**networks, **network_of}, panels)
    return [
        Series(name, [analyses[run] for run in runs], styles[name], panels[network_of[name]][0] if panels else "")
        for name, runs in zip(names, groups.values(), strict=True)
    ]


class _Plot:
    """Axes below each other in which series are drawn, and the labels of their lines."""

    def __init__(self, titles: Sequence[str], **keywords: Any):
        from reskeras.report.figures import Figure, whole_numbers

        self.figure, self.shared = Figure(WIDTH, ROW * len(titles)), "sharex" in keywords
        self.axes: list[Axes] = list(self.figure.subplots(len(titles), 1, squeeze=False, **keywords).flat)
        self.ends: list[list[End]] = [[] for _ in self.axes]
        self.key: dict[str, Mapping[str, Any]] = {}
        for axis, title in zip(self.axes, titles, strict=True):
            axis.set_title(title)
            whole_numbers(axis.xaxis)

    def line(
        self,
        place: int,
        series: Series,
        x: Sequence[float],
        runs: Sequence[Values],
        told: Callable[[np.ndarray], str] = lambda values: "",
        **style: Any,
    ) -> None:
        """Draw a series in the axes number `place`: a line, or the mean and the band of several. Its label says what
        `told` makes of the values."""
        from reskeras.report.figures import deviation_of, plot_band
        from reskeras.report.labels import end_of

        line = plot_band(self.axes[place], x, runs, **{**series.style, **style})
        end = end_of(series.name, line, told(np.array(runs, float)))
        if end.y is not None:
            self.ends[place].append(end)
        if series.panel:
            self.key[series.panel] = {"linestyle": series.style["linestyle"]}
        if len(runs) > 1:
            self.key[deviation_of(self.axes[place])] = BAND

    def level(self, place: int, series: Series, height: float, words: str) -> None:
        """Draw a dotted level of a series, which the key explains by `words`."""
        self.axes[place].axhline(height, color=series.style["color"], **DOTTED)
        self.key[words] = DOTTED

    def finished(self) -> Any:
        """The figure, with labels, or a legend if there are many, and the key."""
        from reskeras.report.figures import round_limits
        from reskeras.report.labels import MOST_DIRECT, label_ends, make_room
        from reskeras.report.legends import add_key, add_legend

        for axis in self.axes:
            round_limits(axis)
        for axis in self.axes[: -1 if self.shared else 0]:
            axis.set_xlabel("")
        self.key = dict(sorted(self.key.items(), key=lambda entry: entry[1] is BAND))  # lines first
        if max(map(len, self.ends)) > MOST_DIRECT:
            add_legend(max(self.axes, key=lambda axis: len(axis.lines)), self.key)
            return self.figure
        for axis, ends in zip(self.axes, self.ends, strict=True):
            label_ends(axis, ends)
        make_room(self.figure, self.ends)
        add_key(self.figure, self.key)
        return self.figure


def _along(
    axes: Sequence[Axes], series: Sequence[Series], counted: Callable[[Analysis], int], what: str, first: int
) -> Callable[[int], list[float]]:
    """Lay the x axes along networks, whose layers or units are `counted`; returns the places of so many of them.

    By number, beginning with `first` and labelled `what`, if all networks have as many; else by the share of the way
    from the first to the last.
    """
    counts = [counted(each.one) for each in series]
    share = len(set(counts)) > 1
    ends = (0.0, 100.0) if share else (float(first), float(first + counts[0] - 1))
    for axis in axes:
        axis.set_xlabel("position in the network (%)" if share else what)
        axis.set_xlim(ends[0], max(ends[1], ends[0] + 1))
    return lambda count: np.linspace(ends[0], ends[1], count).tolist()


def _responses(series: Sequence[Series]) -> Any:
    from reskeras.report.figures import log_where_positive

    plot = _Plot(["Layer responses (v1 figure 7), in order", "Layer responses, sorted"])
    what = "layer (convolutions of 3x3 or larger)"
    along = _along(plot.axes, series, lambda each: len(each.responses), what, 1)
    for axis in plot.axes:
        axis.set_ylabel("standard deviation")
        log_where_positive(
            axis, (layer.deviation for each in series for one in each.analyses for layer in one.responses)
        )
    for each in series:
        runs = each.of(lambda analysis: [response.deviation for response in analysis.responses])
        x = along(len(runs[0]))
        falling = each.of(lambda one: sorted((layer.deviation for layer in one.responses), reverse=True))
        plot.line(0, each, x, runs)
        plot.line(1, each, x, falling, lambda values: f"(mean {values.mean():.2f})")
    plot.axes[1].set_xlabel("layers, largest response first" + (" (%)" if "%" in plot.axes[0].get_xlabel() else ""))
    for axis in plot.axes:
        if axis.get_yscale() == "linear":
            axis.set_ylim(bottom=0)
    return plot.finished()


def _signal(series: Sequence[Series]) -> Any:
    plot = _Plot(["Shortcut's share of each unit's output", "Effective depth"], sharex=True)
    share, depth = plot.axes
    along = _along(plot.axes, series, lambda each: len(each.units), "unit", 0)
    for each in series:
        x = along(len(each.one.units))
        shares = each.of(lambda analysis: [unit.shortcut_share for unit in analysis.units])
        if any(value is not None for value in shares[0]):
            plot.line(0, each, x, shares)
        depths = each.of(lambda analysis: [unit.depth for unit in analysis.units])
        plot.line(1, each, x, depths, lambda values: f"({values[:, -1].mean():.1f} layers)")
        plot.level(1, each, each.one.layers, "the network's depth")
    share.set_ylabel("share of the output")
    depth.set_ylabel("weighted layers")
    if not share.lines:
        share.text(0.5, 0.5, "no shortcuts", ha="center", va="center", transform=share.transAxes)
    else:
        share.set_ylim(min(0.0, *share.get_ylim()), 1.05)
    depth.set_ylim(bottom=0)
    return plot.finished()


def _gradients(series: Sequence[Series]) -> Any:
    plot = _Plot(["Gradient of each unit's weights", "Gradient of each unit's output"], sharex=True)
    along = _along(plot.axes, series, lambda each: len(each.units), "unit (0 is the stem)", 0)
    for axis in plot.axes:
        axis.set_yscale("log")
    for each in series:
        x = along(len(each.one.units))
        plot.line(0, each, x, each.of(lambda analysis: [unit.gradient for unit in analysis.units]))
        plot.line(1, each, x, each.of(lambda analysis: [unit.stream_gradient for unit in analysis.units]))
    for axis in plot.axes:
        axis.set_ylabel("norm, one batch")
    return plot.finished()


def _lesions(series: Sequence[Series]) -> Any:
    known = {lesion.kind for each in series for one in each.analyses for lesion in one.lesions}
    kinds = {kind: title for kind, title in LESIONS.items() if kind in known}
    plot = _Plot(list(kinds.values()), sharex=True, sharey=True)
    along = _along(plot.axes, series, lambda each: len(each.units), "unit", 0)
    for each in series:
        places = dict(zip([unit.unit for unit in each.one.units], along(len(each.one.units)), strict=True))
        whole = 100 * float(np.mean([1 - analysis.accuracy for analysis in each.analyses]))
        for number, kind in enumerate(kinds):
            found = [[lesion for lesion in one.lesions if lesion.kind == kind] for one in each.analyses]
            if not found[0]:
                continue
            errors = [[100 * (1 - lesion.accuracy) for lesion in lesions] for lesions in found]
            x = [places[lesion.units[0]] for lesion in found[0]]
            dots = {"marker": each.style["marker"] or ".", "markevery": 1}
            plot.line(number, each, x, errors, lambda values: f"(median {np.median(values):.0f}%)", **dots)
            plot.level(number, each, whole, "whole network")
    for axis in plot.axes:
        axis.set_ylabel("test error (%)")
        axis.set_ylim(0, 100)
    return plot.finished()
