"""Precision-recall curves of a detector's classes in one plot."""

from __future__ import annotations

from typing import Any

from reskeras.tasks.detection.average_precision import VocPrecision

MOST_NAMED = 32  # classes with their own colour and dashes; the rest is thin, grey and not in the legend
ROWS_OF_NAMES = 16
MOST_IN_WORDS = 20


def draw_precision(precision: VocPrecision) -> Any:
    """A matplotlib figure: precision by recall in per cent, with a curve for each class with objects."""
    from reskeras.report.figures import Figure, plot_line
    from reskeras.report.styles import labelled, line_style

    present = _present(precision)
    columns = -(-min(len(present), MOST_NAMED) // ROWS_OF_NAMES)
    figure = Figure(6.5 + 1.8 * columns, 4.6)
    axis = figure.subplots()
    for each in present[MOST_NAMED:]:
        plot_line(axis, 100 * each.recall, 100 * each.precision, color="#bbbbbb", linewidth=0.6)
    for place, each in enumerate(present[:MOST_NAMED]):
        plot_line(
            axis,
            100 * each.recall,
            100 * each.precision,
            **line_style(place),
            linewidth=1.6,
            label=labelled(f"{each.name} {each.area:.1%}"),
        )
    axis.set(
        xlabel="recall (%)",
        ylabel="precision (%)",
        xlim=(0, 101),
        ylim=(0, 101),
        title=f"Precision-recall curves at IoU {precision.overlap:g}: mAP {precision.map_area:.1%}",
    )
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    if present:
        figure.legend(loc="outside right upper", frameon=False, fontsize=9, ncols=columns)
    return figure


def precision_in_words(precision: VocPrecision) -> str:
    """Alternative text of the plot."""
    present = _present(precision)
    parts = [
        f"{each.name} {each.area:.1%} of {each.objects} object{'s' * (each.objects != 1)}, "
        f"recall {each.recall[-1] if len(each.recall) else 0:.1%}"
        for each in present[:MOST_IN_WORDS]
    ]
    rest = len(present) - len(parts)
    if rest:
        parts.append(f"and {rest} classes with lower precision")
    start = (
        f"Precision-recall curves at IoU {precision.overlap:g}. Mean average precision "
        f"{precision.map_area:.1%} over {len(present)} class{'es' * (len(present) != 1)}"
    )
    return f"{start}: {'; '.join(parts)}." if parts else f"{start}."


def _present(precision: VocPrecision) -> list[Any]:
    """The classes with objects, best first."""
    return sorted((each for each in precision.classes if each.objects), key=lambda each: -each.area)
