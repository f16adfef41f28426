"""Precision-recall curves of a detector's classes in one plot."""

from __future__ import annotations

from typing import Any

from reskeras.printable import counted
from reskeras.report.styles import FAINT, labelled, line_style, styled
from reskeras.tasks.detection.average_precision import VocPrecision

MOST_NAMED = 32  # classes with their own colour and markers; the rest is thin, grey and not in the legend
MOST_IN_WORDS = 20


@styled
def draw_precision(precision: VocPrecision) -> Any:
    """A matplotlib figure: precision by recall in per cent, with a curve for each class with objects, in a colour that
    goes by the order of the classes."""
    from reskeras.report.figures import Figure, plot_line
    from reskeras.report.legends import add_legend

    present = _present(precision)
    figure = Figure()
    axis = figure.subplots()
    for each in present[MOST_NAMED:]:
        plot_line(axis, 100 * each.recall, 100 * each.precision, color=FAINT, linewidth=0.6)
    named = present[:MOST_NAMED]
    places = {name: place for place, name in enumerate(each.name for each in precision.classes if each in named)}
    for each in named:
        style = {**line_style(places[each.name]), "label": labelled(f"{each.name} {each.area:.1%}")}
        plot_line(axis, 100 * each.recall, 100 * each.precision, **style)
    axis.set(
        xlabel="recall (%)",
        ylabel="precision (%)",
        xlim=(0, 101),
        ylim=(0, 101),
        title=f"Precision by recall at IoU {precision.overlap:g}: mAP {precision.map_area:.1%}",
    )
    if present:
        add_legend(axis)
    return figure


def precision_in_words(precision: VocPrecision) -> str:
    """Alternative text of the plot."""
    present = _present(precision)
    parts = [
        f"{each.name} {each.area:.1%} of {counted(each.objects, 'object')}, "
        f"recall {each.recall[-1] if len(each.recall) else 0:.1%}"
        for each in present[:MOST_IN_WORDS]
    ]
    rest = len(present) - len(parts)
    if rest:
        parts.append(f"and {rest} classes with lower precision")
    start = (
        f"Precision-recall curves at IoU {precision.overlap:g}. Mean average precision "
        f"{precision.map_area:.1%} over {counted(len(present), 'class', 'classes')}"
    )
    return f"{start}: {'; '.join(parts)}." if parts else f"{start}."


def _present(precision: VocPrecision) -> list[Any]:
    """The classes with objects, best first."""
    return sorted((each for each in precision.classes if each.objects), key=lambda each: -each.area)
