"""Pictures of analyses, of one network or several in one plot: v1 figure 7, and how signals pass the units."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reskeras.analysis.analysis import Analysis
from reskeras.analysis.lesions import REMOVED, SWAPPED
from reskeras.files import atomic_file

KINDS = ("png", "svg")
COLOURS = ("#1b7f79", "#d1495b", "#4c78a8", "#e0a030", "#7b5ea7", "#5b8c3a", "#8c564b", "#666666")
DASHES = ("-", "--", "-.", ":")
Figures = dict[str, Any]


def draw_analyses(analyses: Mapping[str, Analysis]) -> Figures:
    """Title to matplotlib figure; networks by name, each with a colour and a line of its own. Plots for which no
    network has numbers are left out."""
    figures = {"responses": _responses(analyses), "signal": _signal(analyses), "gradients": _gradients(analyses)}
    if any(analysis.lesions for analysis in analyses.values()):
        figures["lesions"] = _lesions(analyses)
    return figures


def save_analyses(analyses: Mapping[str, Analysis], folder: Path) -> list[Path]:
    """Draw and write every figure to `folder` as PNG and SVG."""
    paths = []
    for name, figure in draw_analyses(analyses).items():
        for kind in KINDS:
            path = folder / f"{name}.{kind}"
            with atomic_file(path) as beside:
                figure.savefig(beside, dpi=130, format=kind)
            paths.append(path)
    return paths


def _figure(rows: int, columns: int, width: float, height: float) -> tuple[Any, np.ndarray]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _styles(analyses: Mapping[str, Analysis]) -> list[tuple[str, Analysis, dict[str, Any]]]:
    return [(name, analysis, {"color": COLOURS[place % len(COLOURS)], "label": name, "linewidth": 1.6,
                              "linestyle": DASHES[place // len(COLOURS) % len(DASHES)]})
            for place, (name, analysis) in enumerate(analyses.items())]


def _legend(axis: Any, analyses: Mapping[str, Analysis]) -> None:
    axis.legend(frameon=False, fontsize=9, ncols=1 + len(analyses) // 7)


def _responses(analyses: Mapping[str, Analysis]) -> Any:
    figure, ((inorder,), (sorted_,)) = _figure(2, 1, 8.5, 6.4)
    for _, analysis, style in _styles(analyses):
        deviations = np.array([response.deviation for response in analysis.responses])
        places = np.arange(1, len(deviations) + 1)
        inorder.plot(places, deviations, **style)
        sorted_.plot(places, np.sort(deviations)[::-1], **style)
    inorder.set(xlabel="layer (convolutions of 3x3 or more, in order)", ylabel="standard deviation",
                title="Layer responses, before nonlinearity and addition (v1 figure 7)")
    sorted_.set(xlabel="layers sorted by response", ylabel="standard deviation")
    for axis in (inorder, sorted_):
        axis.set_ylim(bottom=0)
    _legend(inorder, analyses)
    return figure


def _signal(analyses: Mapping[str, Analysis]) -> Any:
    figure, ((share, depth),) = _figure(1, 2, 10.5, 4.0)
    for _, analysis, style in _styles(analyses):
        inside = [(place, unit) for place, unit in enumerate(analysis.units) if unit.shortcut_share is not None]
        if inside:
            share.plot([place for place, _ in inside], [unit.shortcut_share for _, unit in inside], marker=".", **style)
        depth.plot(range(len(analysis.units)), [unit.depth for unit in analysis.units], **style)
        depth.axhline(analysis.layers, color=style["color"], linewidth=0.8, alpha=0.5, linestyle=":")
    share.set(xlabel="unit", ylabel="share of the output", title="What of a unit's output is its shortcut")
    depth.set(xlabel="unit", ylabel="weighted layers", title="Effective depth (dotted: the network's own)")
    if not share.lines:
        share.text(0.5, 0.5, "no shortcuts", ha="center", va="center", transform=share.transAxes)
    else:
        share.set_ylim(min(0.0, *share.get_ylim()), 1.05)
    _legend(depth, analyses)
    return figure


def _gradients(analyses: Mapping[str, Analysis]) -> Any:
    figure, ((weights, stream),) = _figure(1, 2, 10.5, 4.0)
    for _, analysis, style in _styles(analyses):
        for axis, field in ((weights, "gradient"), (stream, "stream_gradient")):
            norms = [getattr(unit, field) for unit in analysis.units]
            axis.plot(range(len(norms)), norms, marker=".", **style)
    weights.set(title="Gradient of each unit's weights", xlabel="unit (0 is the stem)", ylabel="norm, one batch")
    stream.set(title="Gradient of each unit's output", xlabel="unit (0 is the stem)")
    for axis in (weights, stream):
        axis.set_yscale("log")
    _legend(weights, analyses)
    return figure


def _lesions(analyses: Mapping[str, Analysis]) -> Any:
    figure, ((removed, swapped),) = _figure(1, 2, 10.5, 4.0)
    for _, analysis, style in _styles(analyses):
        places = {unit.unit: place for place, unit in enumerate(analysis.units)}
        for axis, kind in ((removed, REMOVED), (swapped, SWAPPED)):
            found = [each for each in analysis.lesions if each.kind == kind]
            axis.plot([places[each.units[0]] for each in found], [1 - each.accuracy for each in found], marker=".",
                      **style)
            axis.axhline(1 - analysis.accuracy, color=style["color"], linewidth=0.8, alpha=0.6, linestyle=":")
    removed.set(title="Error with one unit removed (dotted: whole)", xlabel="unit", ylabel="test error")
    swapped.set(title="Error with a unit and the next exchanged", xlabel="unit")
    for axis in (removed, swapped):
        axis.set_ylim(0, 1)
    _legend(removed, analyses)
    return figure
