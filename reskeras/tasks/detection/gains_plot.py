"""Plot of the average precision that each kind of mistake costs a detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reskeras.report.styles import SMALL, WIDTH, bar_style, line_styles, styled
from reskeras.tasks.detection.mistakes import Mistakes


@styled
def draw_gains(found: Mapping[str, Mistakes], networks: Mapping[str, str] | None = None) -> Any:
    """A matplotlib figure: points of mean average precision gained by fixing each kind, with a bar for each run; the
    runs of one of `networks` share a colour."""
    from reskeras.report.figures import Figure
    from reskeras.report.legends import add_legend

    kinds = [each.name for each in next(iter(found.values())).table]
    height, styles = 0.8 / len(found), line_styles(found, networks)
    figure = Figure(WIDTH, 1.2 + len(kinds) * (0.22 + 0.24 * len(found)))
    axis = figure.subplots()
    for place, (name, mistakes) in enumerate(found.items()):
        gains = [100 * (each.mended - mistakes.map_area) for each in mistakes.table]
        bars = axis.barh(
            [row + (place + 0.5) * height - 0.4 for row in range(len(kinds))],
            gains,
            height=0.9 * height,
            **bar_style(styles[name]),
        )
        told = [f" {gain:.1f} ({each.count:,})" for gain, each in zip(gains, mistakes.table, strict=True)]
        axis.bar_label(bars, told, fontsize=SMALL)
    axis.set_yticks(range(len(kinds)), kinds)
    axis.invert_yaxis()
    least, most = axis.dataLim.intervalx
    axis.set_xlim(1.25 * min(least, 0.0), 1.25 * max(most, 1.0))  # room for labels
    axis.grid(visible=False, axis="y")
    axis.set_xlabel("gain in mean average precision, points (count)")
    axis.set_title("Gain from fixing each kind of mistake")
    if len(found) > 1:
        add_legend(axis, inside=False)
    return figure


def gains_in_words(found: Mapping[str, Mistakes]) -> str:
    """Alternative text of the plot."""
    parts = [
        f"{name}: {', '.join(f'{each.name} {each.mended - mistakes.map_area:.1%}' for each in mistakes.table)}"
        for name, mistakes in found.items()
    ]
    return f"Mean average precision gained by fixing each kind of mistake alone. {'; '.join(parts)}."
