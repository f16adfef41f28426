"""The plots of docs/benchmarks.md, in the style of all plots."""

from __future__ import annotations

from typing import Any

from matplotlib.ticker import NullLocator

from reskeras.report.figures import Figure
from reskeras.report.legends import add_key
from reskeras.report.styles import COLOURS, QUIET, SMALL, WIDTH, styled

CONTENDERS = {
    "reskeras": COLOURS[0],
    "PyTorch": COLOURS[1],
    "keras.applications": COLOURS[3],
    "stock Keras": COLOURS[4],
}
FORMS = {"unrolled": COLOURS[4], "scanned": COLOURS[0], "scanned, recomputed": COLOURS[1]}
PALE = 0.55  # opacity of float32
TASKS = 2  # side by side: training and inference


@styled
def draw_throughput(found: dict[str, Any]) -> Figure:
    """Times stock Keras float32: a row of plots for each network, training and inference side by side."""
    groups = list(dict.fromkeys((row[0], row[1]) for row in found["rows"]))
    names = list(dict.fromkeys(row[3] for row in sorted(found["rows"], key=lambda row: "applications" in row[3])))[::-1]
    lines = -(-len(groups) // TASKS)
    figure = Figure(WIDTH, (0.7 + 0.27 * len(names)) * lines + 0.4)
    axes = figure.subplots(lines, TASKS, sharex=True, sharey=True, squeeze=False)
    most = max(float(row[6]) for row in found["rows"])
    for axis, group in zip(axes.flat, groups, strict=False):
        rows = [row for row in found["rows"] if (row[0], row[1]) == group]
        for row in rows:
            times, place = float(row[6]), names.index(row[3])
            colour = next(colour for name, colour in CONTENDERS.items() if row[3].startswith(name))
            axis.barh(place, times, color=colour, alpha=1.0 if "bfloat16" in row[3] else PALE)
            axis.text(times + 0.04, place, f"{float(row[4]):,.0f}/s", va="center", fontsize=SMALL - 1)
        axis.axvline(1, color=QUIET, linewidth=0.8, zorder=0)
        axis.set_yticks(range(len(names)), names)
        axis.tick_params(axis="y", length=0)
        axis.grid(visible=False, axis="y")
        axis.set(ylim=(-0.6, len(names) - 0.4), xlim=(0, 1.45 * most))
        axis.set_title(f"{group[0]}, {group[1]}", fontsize=SMALL, fontweight="normal")
    for axis in axes.flat[len(groups) :]:
        axis.set_axis_off()
    figure.supxlabel("times as fast as stock Keras float32; images per second", fontsize=SMALL)
    return figure


@styled
def draw_depth(found: dict[str, Any]) -> Figure:
    """Start-up, step and memory against depth, a line for each form."""
    wanted = {
        "seconds to build and for the first step": lambda point: point["build"] + point["first"],
        "seconds for a later step": lambda point: point["later"],
        "peak memory, GB": lambda point: point["memory"],
    }
    figure = Figure(WIDTH, 2.5 * len(wanted))
    axes = figure.subplots(len(wanted), 1, sharex=True)
    depths = sorted({point["depth"] for point in found["points"]})
    forms = {form: FORMS[form] for form in dict.fromkeys(point["form"] for point in found["points"])}
    for axis, (title, value) in zip(axes, wanted.items(), strict=True):
        for form, colour in forms.items():
            points = [point for point in found["points"] if point["form"] == form]
            axis.plot([point["depth"] for point in points], list(map(value, points)), "o-", color=colour, markersize=5)
        axis.set(xscale="log", yscale="log", title=title)
        axis.set_xticks(depths, [f"{depth:,}" for depth in depths])
        axis.xaxis.set_minor_locator(NullLocator())
    axes[-1].set_xlabel("layers")
    add_key(figure, {form: {"color": colour, "marker": "o"} for form, colour in forms.items()})
    return figure
