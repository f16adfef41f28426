"""Plots of analyses, of one or several networks: layer responses as in v1 figure 7, signals, gradients, lesions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reskeras.analysis.analysis import Analysis
from reskeras.analysis.lesions import REMOVED, SWAPPED

Figures = dict[str, Any]
Lines = list[tuple[Analysis, dict[str, Any]]]


def draw_analyses(analyses: Mapping[str, Analysis], networks: Mapping[str, str] | None = None) -> Figures:
    """Matplotlib figures by title, with a line for each of `analyses` by name. The plot of lesions is left out if no
    analysis has any. Runs of one of `networks` (name of the run to name of the network) share a colour."""
    lines = _styles(analyses, networks)
    figures = {"responses": _responses(lines), "signal": _signal(lines), "gradients": _gradients(lines)}
    if any(analysis.lesions for analysis in analyses.values()):
        figures["lesions"] = _lesions(lines)
    return figures


def save_analyses(analyses: Mapping[str, Analysis], folder: Path) -> list[Path]:
    """Draw and write every figure to `folder` as PNG and SVG."""
    from reskeras.report.figures import save_figures

    return save_figures(draw_analyses(analyses), folder)


def _figure(rows: int, columns: int, width: float, height: float) -> tuple[Any, np.ndarray]:
    from reskeras.report.figures import Figure

    figure = Figure(width, height)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _styles(analyses: Mapping[str, Analysis], networks: Mapping[str, str] | None) -> Lines:
    from reskeras.report.figures import line_styles

    styles = line_styles(analyses, networks)
    return [(analysis, {"linewidth": 1.6, **styles[name]}) for name, analysis in analyses.items()]


def _responses(lines: Lines) -> Any:
    from reskeras.report.figures import add_legend, log_where_wide, plot_line, whole_numbers

    figure, ((inorder,), (sorted_,)) = _figure(2, 1, 8.5, 6.4)
    for analysis, style in lines:
        deviations = np.array([response.deviation for response in analysis.responses])
        places = np.arange(1, len(deviations) + 1)
        plot_line(inorder, places, deviations, **style)
        plot_line(sorted_, places, np.sort(deviations)[::-1], **style)
    inorder.set(
        xlabel="layer (convolutions of 3x3 or more, in order)",
        ylabel="standard deviation",
        title="Layer responses, before nonlinearity and addition (v1 figure 7)",
    )
    sorted_.set(xlabel="layers sorted by response", ylabel="standard deviation")
    for axis in (inorder, sorted_):
        log_where_wide(axis)
        whole_numbers(axis.xaxis)
    add_legend(inorder)
    return figure


def _signal(lines: Lines) -> Any:
    from reskeras.report.figures import add_legend, plot_line, whole_numbers

    figure, ((share, depth),) = _figure(1, 2, 10.5, 4.0)
    for analysis, style in lines:
        inside = [(place, unit) for place, unit in enumerate(analysis.units) if unit.shortcut_share is not None]
        if inside:
            share.plot([place for place, _ in inside], [unit.shortcut_share for _, unit in inside], marker=".", **style)
        plot_line(depth, range(len(analysis.units)), [unit.depth for unit in analysis.units], **style)
        depth.axhline(analysis.layers, color=style["color"], linewidth=0.8, alpha=0.5, linestyle=":")
    share.set(xlabel="unit", ylabel="share of the output", title="Shortcut's share of each unit's output")
    depth.set(xlabel="unit", ylabel="weighted layers", title="Effective depth (dotted: the network's depth)")
    if not share.lines:
        share.text(0.5, 0.5, "no shortcuts", ha="center", va="center", transform=share.transAxes)
    else:
        share.set_ylim(min(0.0, *share.get_ylim()), 1.05)
    for axis in (share, depth):
        whole_numbers(axis.xaxis)
    add_legend(depth)
    return figure


def _gradients(lines: Lines) -> Any:
    from reskeras.report.figures import add_legend, whole_numbers

    figure, ((weights, stream),) = _figure(1, 2, 10.5, 4.0)
    for analysis, style in lines:
        for axis, field in ((weights, "gradient"), (stream, "stream_gradient")):
            norms = [getattr(unit, field) for unit in analysis.units]
            axis.plot(range(len(norms)), norms, marker=".", **style)
    weights.set(title="Gradient of each unit's weights", xlabel="unit (0 is the stem)", ylabel="norm, one batch")
    stream.set(title="Gradient of each unit's output", xlabel="unit (0 is the stem)")
    for axis in (weights, stream):
        axis.set_yscale("log")
        whole_numbers(axis.xaxis)
    add_legend(weights)
    return figure


def _lesions(lines: Lines) -> Any:
    from reskeras.report.figures import add_legend, whole_numbers

    figure, ((removed, swapped),) = _figure(1, 2, 10.5, 4.0)
    for analysis, style in lines:
        places = {unit.unit: place for place, unit in enumerate(analysis.units)}
        for axis, kind in ((removed, REMOVED), (swapped, SWAPPED)):
            found = [each for each in analysis.lesions if each.kind == kind]
            axis.plot(
                [places[each.units[0]] for each in found], [1 - each.accuracy for each in found], marker=".", **style
            )
            axis.axhline(1 - analysis.accuracy, color=style["color"], linewidth=0.8, alpha=0.6, linestyle=":")
    removed.set(title="Error with one unit removed (dotted: full network)", xlabel="unit", ylabel="test error")
    swapped.set(title="Error with two adjacent units swapped", xlabel="unit")
    for axis in (removed, swapped):
        axis.set_ylim(0, 1)
        whole_numbers(axis.xaxis)
    add_legend(removed)
    return figure
