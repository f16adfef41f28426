"""Learning curves: error or losses by epoch, of one or several runs in one plot; as in v1 figures 4 and 6."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

ERRORS = {"accuracy": "error", "average_precision": "1 - mAP"}  # what is 1 minus a log
Metrics = Sequence[Mapping[str, Any]]  # rows of metrics.jsonl


def draw_curves(
    runs: Mapping[str, Metrics], networks: Mapping[str, str] | None = None, log: str = "accuracy", bands: bool = False
) -> Any:
    """A matplotlib figure: training error thin, error of the watched images bold, by epoch, in per cent: 1 - `log`.

    Runs of one of `networks` (name of the run to name of the network) share a colour. With `bands` they are one line,
    their mean, in a band of one standard deviation either way.
    """
    from reskeras.report.figures import Figure, add_legend

    figure = Figure(8.5, 4.6)
    axis = figure.subplots()
    means: dict[str, Metrics] = {}
    if bands:
        groups: dict[str, list[Metrics]] = {}
        for name, rows in runs.items():
            groups.setdefault((networks or {}).get(name, name), []).append(rows)
        means = {f"{name}, {len(all_)} runs" if len(all_) > 1 else name: mean_of(all_) for name, all_ in groups.items()}
        _pairs(axis, means, log, _error)
        for thin, bold, rows in zip(axis.lines[::2], axis.lines[1::2], means.values(), strict=True):
            _band(axis, thin, rows, log)
            _band(axis, bold, rows, f"val_{log}")
        axis.autoscale(axis="y")
        axis.set_ylim(bottom=0)
    else:
        _pairs(axis, runs, log, _error, networks)
    what = ERRORS[log]
    words = "thin: training, bold: test or held out" + ", band: standard deviation" * (bands and len(means) < len(runs))
    axis.set(xlabel="epoch", ylabel=f"{what} (%)", title=f"{what[0].upper()}{what[1:]} by epoch ({words})")
    add_legend(axis)
    return figure


def mean_of(runs: Sequence[Metrics]) -> Metrics:
    """The metrics of several runs as those of one: by epoch the mean of each figure over the runs that reached it, and
    under `NAME deviation` its sample standard deviation, 0 for a single run."""
    by_epoch: dict[int, list[Mapping[str, Any]]] = {}
    for rows in runs:
        for row in rows:
            by_epoch.setdefault(row["epoch"], []).append(row)
    means = []
    for epoch, rows in sorted(by_epoch.items()):
        mean: dict[str, Any] = {"epoch": epoch}
        for key in rows[0].keys() - {"epoch"}:
            if values := [row[key] for row in rows if isinstance(row.get(key), int | float)]:
                mean[key] = statistics.fmean(values)
                mean[f"{key} deviation"] = statistics.stdev(values) if len(values) > 1 else 0.0
        means.append(mean)
    return means


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


def _error(share: float) -> float:
    """Per cent."""
    return 100 * (1 - share)


def _band(axis: Any, line: Any, rows: Metrics, key: str) -> None:
    """Shade one standard deviation on both sides of `line`, which shows the mean error of `key`."""
    deviations = [100 * row.get(f"{key} deviation", 0.0) for row in rows]
    low, high = ([y + sign * d for y, d in zip(line.get_ydata(), deviations, strict=True)] for sign in (-1, 1))
    axis.fill_between(line.get_xdata(), low, high, color=line.get_color(), alpha=0.18, linewidth=0)


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
