"""Plot of the average precision that each kind of mistake costs a detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reskeras.tasks.detection.mistakes import Mistakes


def draw_gains(found: Mapping[str, Mistakes]) -> Any:
    """A matplotlib figure: points of mean average precision gained by fixing each kind, with a bar for each run."""
    from reskeras.report.figures import Figure, add_legend
    from reskeras.report.styles import COLOURS, labelled

    kinds = [each.name for each in next(iter(found.values())).table]
    height = 0.8 / len(found)
    figure = Figure(8.5, 1.2 + len(kinds) * (0.22 + 0.2 * len(found)))
    axis = figure.subplots()
    for place, (name, mistakes) in enumerate(found.items()):
        gains = [100 * (each.mended - mistakes.map_area) for each in mistakes.table]
        bars = axis.barh(
            [row + (place + 0.5) * height - 0.4 for row in range(len(kinds))],
            gains,
            height=0.9 * height,
            color=COLOURS[place % len(COLOURS)],
            label=labelled(name),
        )
        axis.bar_label(
            bars,
            [f" {gain:.1f}  ({each.count:,})" for gain, each in zip(gains, mistakes.table, strict=True)],
            fontsize=9,
        )
    axis.set_yticks(range(len(kinds)), kinds)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.set(xlabel="gain in mean average precision, points (count)", title="Gain from fixing each kind of mistake")
    axis.grid(alpha=0.25, axis="x")
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    if len(found) > 1:
        add_legend(axis)
    return figure


def gains_in_words(found: Mapping[str, Mistakes]) -> str:
    """Alternative text of the plot."""
    parts = [
        f"{name}: {', '.join(f'{each.name} {each.mended - mistakes.map_area:.1%}' for each in mistakes.table)}"
        for name, mistakes in found.items()
    ]
    return f"Mean average precision gained by fixing each kind of mistake alone. {'; '.join(parts)}."
