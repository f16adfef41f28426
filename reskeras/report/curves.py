"""Learning curves: error or losses by epoch, of one or several runs in one plot; as in v1 figures 4 and 6."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

ERRORS = {"accuracy": "error", "average_precision": "1 - mAP"}  # what is 1 minus a log
Metrics = Sequence[Mapping[str, Any]]  # rows of metrics.jsonl


def draw_curves(runs: Mapping[str, Metrics], networks: Mapping[str, str] | None = None, log: str = "accuracy") -> Any:
    """A matplotlib figure: training error thin, error of the watched images bold, by epoch, in per cent: 1 - `log`.

    Runs of one of `networks` (name of the run to name of the network) share a colour.
    """
    from reskeras.report.figures import Figure, add_legend

    figure = Figure(8.5, 4.6)
    axis = figure.subplots()
    _pairs(axis, runs, log, lambda value: 100 * (1 - value), networks)
    what = ERRORS[log]
    title = f"{what[0].upper()}{what[1:]} by epoch (thin: training, bold: test or held out)"
    axis.set(xlabel="epoch", ylabel=f"{what} (%)", title=title)
    add_legend(axis)
    return figure


def draw_losses(runs: Mapping[str, Metrics], losses: Sequence[str]) -> Any:
    """A matplotlib figure: the sum of a detector's `losses` and each of them, training thin, watched images bold."""
    from reskeras.report.figures import Figure

    names = ("loss", *losses)
    figure = Figure(8.5, 7.2)
    axes = figure.subplots(-(-(len(names) + 1) // 2), 2, sharex=True, squeeze=False).flat
    for axis, name in zip(axes, names, strict=False):
        _pairs(axis, runs, name, lambda loss: loss)
        axis.set(title="total" if name == "loss" else name.replace("_", " "))
        axis.tick_params(labelbottom=True)
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    axes[len(names) - 1].set(xlabel="epoch")
    handles, labels = axes[0].get_legend_handles_labels()
    if len(runs) == 1:
        thin = axes[0].lines[0]
        handles, labels = [thin, *handles], ["training", "test or held out"]
    axes[len(names)].legend(
        handles,
        labels,
        loc="upper left",
        frameon=False,
        fontsize=9,
        title=None if len(runs) == 1 else "thin: training, bold: test or held out",
    )
    return figure


def _pairs(
    axis: Any,
    runs: Mapping[str, Metrics],
    key: str,
    scaled: Callable[[float], float],
    networks: Mapping[str, str] | None = None,
) -> None:
    """For each run a thin line of `key` on training images and, with the run's name, a bold one on watched images."""
    from reskeras.report.figures import line_styles, plot_line, whole_numbers

    styles = line_styles(runs, networks)
    for name, rows in runs.items():
        epochs, style = [row["epoch"] for row in rows], styles[name]
        thin, bold = (
            [None if (value := row.get(each)) is None else scaled(value) for row in rows]
            for each in (key, f"val_{key}")
        )
        plot_line(axis, epochs, thin, **{**style, "label": "_"}, linewidth=0.9)
        plot_line(axis, epochs, bold, **style, linewidth=2.2)
    whole_numbers(axis.xaxis)
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def curves_in_words(runs: Mapping[str, Metrics], log: str = "accuracy") -> str:
    """Alternative text of the plot of errors."""
    return f"Learning curves: {ERRORS[log]} by epoch. " + _ends(
        runs, f"training {ERRORS[log]}", log, lambda value: f"{1 - value:.1%}"
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
        trained, tested = (
            told(value) if value is not None else "unknown" for value in (last.get(log), last.get(f"val_{log}"))
        )
        after = f"{last['epoch']} epoch{'s' * (last['epoch'] != 1)}"
        ends.append(
            f"{name} ends after {after} at {what} {trained}" + (f", test {tested}" if f"val_{log}" in last else "")
        )
    return "; ".join(ends) + "."
