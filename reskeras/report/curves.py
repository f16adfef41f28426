"""Learning curves: error or losses by epoch, of one or several runs in one plot; as in v1 figures 4 and 6."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from reskeras.printable import counted
from reskeras.report.styles import BAND, DEVIATION, HEIGHT, MARK, PAPER, WIDTH, Panels, grouped, line_styles, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from reskeras.report.labels import End

Metrics = Sequence[Mapping[str, Any]]  # rows of metrics.jsonl

ERRORS = {"accuracy": "error", "average_precision": "1 - mAP"}  # what is 1 minus a log
WATCHED = "test or held out"
TRAINING_LINE: dict[str, Any] = {"linewidth": 1.1, "linestyle": (0, (3.2, 1.4)), "markerfacecolor": PAPER}
WATCHED_LINE: dict[str, Any] = {"linewidth": 2.3, "linestyle": "-"}
LONG, EARLY = 10, 5  # the y axis of LONG epochs or more need not reach what is only in the first 1/EARLY of them
PANELS_A_ROW = 2
LOSS_HEIGHT, TICKS = 2.1, 4  # inches of a row of losses; steps of its y axes, of which matplotlib makes one at times


@dataclass(frozen=True)
class Curve:
    """One curve: a run, or the mean of a network's runs."""

    label: str
    network: str
    panel: str
    runs: Sequence[Metrics]
    style: Mapping[str, Any]


@styled
def draw_curves(
    runs: Mapping[str, Metrics],
    networks: Mapping[str, str] | None = None,
    log: str = "accuracy",
    seeds: Mapping[str, str] | None = None,
    published: Mapping[str, Any] | None = None,
    panels: Panels | None = None,
    watched: str = WATCHED,
) -> Any:
    """A matplotlib figure: training error thin and dashed, error of the `watched` images bold, by epoch, in per cent:
    1 - `log`. Curves are labelled at their ends with the last error, or in a legend if there are many.

    Runs of one of `networks` (name of the run to name of the network) share a colour. Runs that `seeds` gives one name
    are one curve of that name, their mean, in a band of one standard deviation either way. `published` errors of
    networks, in per cent, are marks at the right edge; what is no number, such as "fail", is left out. `panels` (each
    network to its panel and its label there) puts networks into panels with the same axes, in which equal labels have
    one colour.
    """
    from reskeras.report.labels import MOST_DIRECT, label_ends, make_room, mark_published
    from reskeras.report.legends import add_key, add_legend

    curves = _curves(runs, networks or {}, seeds, panels)
    figure, axes = _panels(list(dict.fromkeys(curve.panel for curve in curves)) or [""], ERRORS[log])
    ends: dict[str, list[End]] = {panel: [] for panel in axes}
    marks: dict[str, dict[str, tuple[float, str]]] = {panel: {} for panel in axes}
    for curve in curves:
        ends[curve.panel].append(_errors(axes[curve.panel], curve, log))
        value: Any = (published or {}).get(curve.network)
        if is_number(value):
            marks[curve.panel].setdefault(curve.network, (float(value), curve.style["color"]))
    _limits(list(axes.values()), [value for inside in marks.values() for value, _ in inside.values()])
    direct, columns = max(map(len, ends.values())) <= MOST_DIRECT, min(len(axes), PANELS_A_ROW)
    for panel, axis in axes.items():
        gutter = mark_published(axis, list(marks[panel].values()))
        if direct:
            label_ends(axis, ends[panel], gutter, columns)
    trained = any(log in epoch for epochs in runs.values() for epoch in epochs)
    key = _sides(runs, watched)
    if not trained:
        del key["training"]
    if any(len(curve.runs) > 1 for curve in curves):
        key[DEVIATION] = BAND
    if any(marks.values()):
        key["published, another protocol"] = MARK
    if direct:
        make_room(figure, ends.values(), columns)
        add_key(figure, key)
    else:
        add_legend(list(axes.values()), key)
    return figure


def _curves(
    runs: Mapping[str, Metrics], networks: Mapping[str, str], seeds: Mapping[str, str] | None, panels: Panels | None
) -> list[Curve]:
    """The curves of `runs`: one for each name in `seeds`, or each run."""
    groups = grouped(runs, seeds)
    of = {group: networks.get(names[0], names[0]) for group, names in groups.items()}
    styles = line_styles(groups, {**networks, **of}, panels)
    alone = {network for network in of.values() if list(of.values()).count(network) == 1}
    return [
        Curve(
            panels[of[group]][1] if panels and of[group] in alone else group,
            of[group],
            panels[of[group]][0] if panels else "",
            [runs[name] for name in names],
            styles[group],
        )
        for group, names in groups.items()
    ]


def _panels(titles: Sequence[str], what: str) -> tuple[Any, dict[str, Axes]]:
    """A figure of axes by title, with shared limits."""
    from reskeras.report.figures import Figure, whole_numbers

    columns = min(len(titles), PANELS_A_ROW)
    rows = math.ceil(len(titles) / columns)
    figure = Figure(WIDTH, HEIGHT * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axis in grid.flat:
        whole_numbers(axis.xaxis)
        axis.tick_params(labelbottom=True)
        axis.set_xlabel("epoch")
    for axis in grid.flat[len(titles) :]:
        axis.set_axis_off()
    for axis in grid[:, 0]:
        axis.set_ylabel(f"{what} (%)")
    axes = dict(zip(titles, grid.flat, strict=False))
    for title, axis in axes.items():
        axis.set_title(title)
    return figure, axes


def _errors(axis: Axes, curve: Curve, log: str) -> End:
    """Draw the errors of a curve; returns the end of its bold line, or of the thin one if there is none."""
    from reskeras.report.labels import end_of

    name = curve.style["label"] + (f", {len(curve.runs)} runs" if len(curve.runs) > 1 else "")
    pair = _pair(axis, curve.runs, log, lambda share: 100 * (1 - share), {**curve.style, "label": name})
    ends = [end_of(curve.label, line) for line in reversed(pair)]
    end = next((each for each in ends if each.y is not None), ends[0])
    return end if end.y is None else replace(end, figure=f"{end.y:.1f}%")


def _limits(axes: Sequence[Axes], published: Sequence[float]) -> None:
    """Limits for all of the axes: from 0 to above everything but what the curves only pass through at the beginning."""
    import numpy as np

    points = [line.get_xydata() for axis in axes for line in axis.lines]
    points += [path.vertices for axis in axes for band in axis.collections for path in band.get_paths()]
    seen = np.concatenate([np.empty((0, 2)), *points]).astype(float)
    seen = seen[np.isfinite(seen).all(axis=1)]
    if not len(seen):
        return
    first, last = seen[:, 0].min(), seen[:, 0].max()
    early = (last - first + 1) / EARLY if last - first + 1 >= LONG else 0
    top = max([*published, *seen[seen[:, 0] >= first + early, 1], 0.0])
    axes[0].set_ylim(0, 1.04 * top or 1.0)
    axes[0].set_xlim(*((first, last) if last > first else (first - 0.5, last + 0.5)))


@styled
def draw_losses(
    runs: Mapping[str, Metrics],
    losses: Sequence[str],
    networks: Mapping[str, str] | None = None,
    seeds: Mapping[str, str] | None = None,
) -> Any:
    """A matplotlib figure: the sum of a detector's `losses`, each of them, and where it was measured the mAP in per
    cent; training thin, watched images bold. `networks` and `seeds` as in `draw_curves`."""
    from reskeras.report.figures import Figure, whole_numbers
    from reskeras.report.legends import add_key

    titles = {"loss": "total", **{name: name.replace("_", " ") for name in losses}}
    if any("val_average_precision" in row for rows in runs.values() for row in rows):
        titles["average_precision"] = "mAP (%)"
    networks, groups, rows_of_axes = networks or {}, grouped(runs, seeds), -(-len(titles) // 2)
    of = {group: networks.get(names[0], names[0]) for group, names in groups.items()}
    styles = line_styles(groups, {**networks, **of})
    figure = Figure(WIDTH, LOSS_HEIGHT * rows_of_axes + 0.3)
    axes = figure.subplots(rows_of_axes, 2, sharex=True, squeeze=False).flat
    for axis, (name, title) in zip(axes, titles.items(), strict=False):
        scaled = float if name != "average_precision" else _percent
        for group, names in groups.items():
            _pair(axis, [runs[each] for each in names], name, scaled, styles[group])
        axis.set_title(title)
        whole_numbers(axis.xaxis)
        axis.set_ylim(0, 1.08 * axis.dataLim.y1 if axis.dataLim.y1 > 0 else 1.0)
        axis.locator_params(axis="y", nbins=TICKS)
        axis.tick_params(labelbottom=True)
    for axis in axes[len(titles) :]:
        axis.set_axis_off()
    for axis in axes[max(len(titles) - 2, 0) : len(titles)]:
        axis.set_xlabel("epoch")
    told = {style["label"]: {**WATCHED_LINE, **_of_line(style)} for style in styles.values() if style["label"] != "_"}
    bands = {DEVIATION: BAND} if len(groups) < len(runs) else {}
    add_key(figure, {**(told if len(runs) > 1 else {}), **_sides(runs, WATCHED), **bands})
    return figure


def _sides(runs: Mapping[str, Metrics], watched: str) -> dict[str, Mapping[str, Any]]:
    """The key of training and watched images: lines, which after one epoch are dots."""
    dots = {"marker": "o"} if max((len(rows) for rows in runs.values()), default=0) == 1 else {}
    return {"training": {**TRAINING_LINE, **dots}, watched: {**WATCHED_LINE, **dots}}


def _of_line(style: Mapping[str, Any]) -> dict[str, Any]:
    """What a key shows of a line's style."""
    return {key: style[key] for key in ("color", "marker", "alpha") if key in style}


def _pair(
    axis: Axes, runs: Sequence[Metrics], key: str, scaled: Callable[[float], float], style: Mapping[str, Any]
) -> list[Any]:
    """A thin line of `key` on training images and, with the style's label, a bold one on watched images; of several
    runs the mean in a band."""
    from reskeras.report.figures import plot_band

    epochs = sorted({row["epoch"] for rows in runs for row in rows})
    pair = []
    for name, own in ((key, {**TRAINING_LINE, "label": "_"}), (f"val_{key}", WATCHED_LINE)):
        values = [{row["epoch"]: row.get(name) for row in rows} for rows in runs]
        known = [[None if (y := each.get(epoch)) is None else scaled(y) for epoch in epochs] for each in values]
        pair.append(plot_band(axis, epochs, known, **{**style, **own}))
    return pair


def _percent(share: float) -> float:
    return 100 * share


def is_number(value: Any) -> bool:
    """Whether a published figure is one, not a word such as "fail"."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def curves_in_words(
    runs: Mapping[str, Metrics], log: str = "accuracy", published: Mapping[str, Any] | None = None
) -> str:
    """Alternative text of the plot of errors."""
    marks = [f"{name} {value:g}%" for name, value in (published or {}).items() if is_number(value)]
    return (
        f"Learning curves: {ERRORS[log]} by epoch. "
        + _ends(runs, f"training {ERRORS[log]}", log, lambda value: f"{1 - value:.1%}")
        + (f" Published, by another protocol: {', '.join(marks)}." if marks else "")
    )


def losses_in_words(runs: Mapping[str, Metrics]) -> str:
    """Alternative text of the plot of losses."""
    return "Loss curves by epoch: the total and each part. " + _ends(
        runs, "a training loss of", "loss", lambda value: f"{value:.3f}"
    )


def _ends(runs: Mapping[str, Metrics], what: str, log: str, told: Callable[[float], str]) -> str:
    """The final value of `log` of each run, on training and on watched images."""
    ends = []
    for name, rows in runs.items():
        last = rows[-1]
        known = {what: last.get(log), "test": last.get(f"val_{log}")}
        figures = [f"{of} {told(value)}" for of, value in known.items() if value is not None]
        after = counted(last["epoch"], "epoch")
        ends.append(f"{name} ends after {after} at {', '.join(figures) or 'unknown'}")
    return "; ".join(ends) + "."
