"""Training and test error over the epochs, of one run or several in one plot, as in v1 figures 4 and 6."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reskeras.report.analysis import COLOURS, DASHES

Metrics = Sequence[Mapping[str, Any]]  # rows of metrics.jsonl


def draw_curves(runs: Mapping[str, Metrics]) -> Any:
    """A matplotlib figure: training error thin, error of the watched images bold, by epoch, in per cent."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 4.6), layout="constrained")
    axis = figure.subplots()
    for place, (name, rows) in enumerate(runs.items()):
        colour, dash = COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS) % len(DASHES)]
        epochs = [row["epoch"] for row in rows]
        axis.plot(epochs, [100 * (1 - row["accuracy"]) for row in rows], color=colour, linewidth=0.9, linestyle=dash)
        if watched := [(row["epoch"], 100 * (1 - row["val_accuracy"])) for row in rows if "val_accuracy" in row]:
            axis.plot(*zip(*watched, strict=True), color=colour, linewidth=2.2, linestyle=dash, label=name)
        else:
            axis.plot([], [], color=colour, linewidth=2.2, linestyle=dash, label=name)
    axis.set(xlabel="epoch", ylabel="error (%)", title="Error by epoch: thin training, bold test or held out")
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9, ncols=1 + len(runs) // 7)
    return figure


def curves_in_words(runs: Mapping[str, Metrics]) -> str:
    """What the plot shows, for those who do not see it."""
    ends = []
    for name, rows in runs.items():
        last = rows[-1]
        tested = f", test {1 - last['val_accuracy']:.1%}" if "val_accuracy" in last else ""
        ends.append(f"{name} ends after {last['epoch']} epochs at training error {1 - last['accuracy']:.1%}{tested}")
    return "Curves of error by epoch. " + "; ".join(ends) + "."
