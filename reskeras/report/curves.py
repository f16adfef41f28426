"""Error, or losses, over the epochs, of one run or several in one plot; error as in v1 figures 4 and 6."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reskeras.report.analysis import COLOURS, DASHES

Metrics = Sequence[Mapping[str, Any]]  # rows of metrics.jsonl


def draw_curves(runs: Mapping[str, Metrics]) -> Any:
    """A matplotlib figure: training error thin, error of the watched images bold, by epoch, in per cent."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 4.6), layout="constrained")
    axis = figure.subplots()
    _pairs(axis, runs, "accuracy", lambda accuracy: 100 * (1 - accuracy))
    axis.set(xlabel="epoch", ylabel="error (%)", title="Error by epoch: thin training, bold test or held out")
    axis.legend(frameon=False, fontsize=9, ncols=1 + len(runs) // 7)
    return figure


def draw_losses(runs: Mapping[str, Metrics], losses: Sequence[str]) -> Any:
    """A matplotlib figure: the sum of a detector's `losses` and each of them, training thin, watched images bold."""
    from matplotlib.figure import Figure

    names = ("loss", *losses)
    figure = Figure(figsize=(8.5, 7.2), layout="constrained")
    axes = figure.subplots(-(-(len(names) + 1) // 2), 2, sharex=True, squeeze=False).flat
    for axis, name in zip(axes, names, strict=False):
        _pairs(axis, runs, name, lambda loss: loss)
        axis.set(title="sum of all" if name == "loss" else name.replace("_", " "))
        axis.tick_params(labelbottom=True)
    for axis in axes[len(names):]:
        axis.set_axis_off()
    axes[len(names) - 1].set(xlabel="epoch")
    handles, labels = axes[0].get_legend_handles_labels()
    if len(runs) == 1:
        thin = axes[0].lines[0]
        handles, labels = [thin, *handles], ["training", "test or held out"]
    axes[len(names)].legend(handles, labels, loc="upper left", frameon=False, fontsize=9,
                            title=None if len(runs) == 1 else "thin training, bold test or held out")
    return figure


def _pairs(axis: Any, runs: Mapping[str, Metrics], key: str, scaled: Callable[[float], float]) -> None:
    """Of each run a thin line of `key` and, with its name, a bold one of what the watched images have for it."""
    for place, (name, rows) in enumerate(runs.items()):
        colour, dash = COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS) % len(DASHES)]
        axis.plot([row["epoch"] for row in rows], [scaled(row[key]) for row in rows], color=colour, linewidth=0.9,
                  linestyle=dash)
        watched = [(row["epoch"], scaled(row[f"val_{key}"])) for row in rows if f"val_{key}" in row]
        axis.plot(*(zip(*watched, strict=True) if watched else ([], [])), color=colour, linewidth=2.2, linestyle=dash,
                  label=name)
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def curves_in_words(runs: Mapping[str, Metrics]) -> str:
    """What the plot shows, for those who do not see it."""
    return "Curves of error by epoch. " + _ends(runs, "training error", "accuracy", lambda value: f"{1 - value:.1%}")


def losses_in_words(runs: Mapping[str, Metrics]) -> str:
    """The same of losses."""
    return "Curves of losses by epoch, their sum and each part. " + _ends(
        runs, "a training loss of", "loss", lambda value: f"{value:.3f}")


def _ends(runs: Mapping[str, Metrics], what: str, log: str, told: Callable[[float], str]) -> str:
    """Where each run ends: `log` of its last epoch, on training and on watched images."""
    ends = []
    for name, rows in runs.items():
        last = rows[-1]
        tested = f", test {told(last[f'val_{log}'])}" if f"val_{log}" in last else ""
        ends.append(f"{name} ends after {last['epoch']} epochs at {what} {told(last[log])}{tested}")
    return "; ".join(ends) + "."
