"""Plots of a search: the objective against the networks' costs, and the effect of each parameter on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.cells import cell_len

from reskeras.printable import printable
from reskeras.report.fonts import shortened
from reskeras.report.styles import CHARACTER, COLOURS, PAPER, SMALL, WIDTH, styled
from reskeras.spaces.space import Domain
from reskeras.tuning.objective import Objective
from reskeras.tuning.outcome import Outcome
from reskeras.tuning.search import Search

COSTS = {"parameters": "parameters", "multiply_adds": "multiply-adds per image"}
PARETO_FILE, EFFECTS_FILE = "pareto", "effects"
COLUMNS = 2
ROW = 2.7  # inches of a row of parameters
NUMBER = (0.1, 0.06)  # width and height of a trial's number, as shares of the axes
LONGEST_CHOICE = 18  # characters of a choice's tick label
TRIAL: dict[str, Any] = {"color": COLOURS[0], "marker": "o", "markersize": 6, "markeredgewidth": 0, "alpha": 0.6}
FRONT: dict[str, Any] = {"color": COLOURS[1], "marker": "o", "markersize": 6, "drawstyle": "steps-post"}
MEAN: dict[str, Any] = {"color": COLOURS[1], "linewidth": 2.2}  # of the trials with a choice


def draw_search(search: Search) -> list[Path]:
    """Draw both plots as PNG and SVG into the search's folder; nothing when no trial was completed."""
    from reskeras.report.figures import save_figures

    done = search.ranked()
    if not done:
        return []
    objective, space = search.objective(), search.space()
    figures = {
        PARETO_FILE: _pareto(done, objective, search.path.name),
        EFFECTS_FILE: _effects(done, objective, dict(space.parameters)),
    }
    return save_figures(figures, search.path)


def pareto_front(costs: Sequence[float], scores: Sequence[float], direction: str) -> list[int]:
    """Indexes of the Pareto-optimal trials by increasing cost; of ties the first."""
    sign = -1.0 if direction == "max" else 1.0
    order = sorted(range(len(costs)), key=lambda index: (costs[index], sign * scores[index]))
    front: list[int] = []
    for index in order:
        if not front or sign * scores[index] < sign * scores[front[-1]]:
            front.append(index)
    return front


@styled
def _pareto(done: Sequence[Outcome], objective: Objective, title: str) -> Any:
    from reskeras.report.figures import Figure
    from reskeras.report.legends import add_key

    figure = Figure()
    axes = figure.subplots(1, len(COSTS), sharey=True)
    scores = [outcome.known_score for outcome in done]
    for axis, (cost, label) in zip(axes, COSTS.items(), strict=True):
        values = [outcome.figures[cost] for outcome in done]
        front = pareto_front(values, scores, objective.direction)
        axis.plot(values, scores, linestyle="none", **TRIAL)
        axis.plot([values[index] for index in front], [scores[index] for index in front], **FRONT)
        axis.set_xlabel(label)
        axis.margins(y=0.09)
        _logarithmic(axis)
        _number(axis, [(values[index], scores[index], done[index].trial) for index in front], objective.direction)
    axes[0].set_ylabel(f"{objective.name} ({'higher' if objective.direction == 'max' else 'lower'} is better)")
    axes[0].set_title(title)
    add_key(figure, {"trial": {**TRIAL, "linestyle": "none"}, "Pareto front, trials by number": FRONT})
    return figure


def _number(axis: Any, front: Sequence[tuple[float, float, str]], direction: str) -> None:
    """Number the trials of a front where no other of it can be; of numbers that would overlap, the later one."""
    from matplotlib.patheffects import withStroke

    places = axis.transAxes.inverted().transform(axis.transData.transform([(x, y) for x, y, _ in front]))
    shown: list[int] = []
    for index in reversed(range(len(front))):
        if not any((abs(places[index] - places[other]) < NUMBER).all() for other in shown):
            shown.append(index)
    for x, y, trial in (front[index] for index in reversed(shown)):
        axis.annotate(
            trial.lstrip("0") or "0",
            (x, y),
            textcoords="offset points",
            xytext=(5, -14 if direction == "max" else 5),
            fontsize=SMALL,
            color=FRONT["color"],
            path_effects=[withStroke(linewidth=2.5, foreground=PAPER)],
        )


@styled
def _effects(done: Sequence[Outcome], objective: Objective, parameters: dict[str, Domain]) -> Any:
    from reskeras.report.figures import Figure

    rows = -(-len(parameters) // COLUMNS)
    columns = min(COLUMNS, len(parameters))
    labels = [_choices(domain) for domain in parameters.values()]
    turned = max((max(map(cell_len, each), default=0) for each in labels if _turned(each)), default=0)
    figure = Figure(WIDTH, rows * (ROW + turned * CHARACTER * SMALL / 72))
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axis in axes.flat[len(parameters) :]:
        axis.axis("off")
    for axis, (name, domain) in zip(axes.flat, parameters.items(), strict=False):
        _effect(axis, [outcome for outcome in done if name in outcome.values], name, domain)
    for row in axes:
        row[0].set_ylabel(objective.name)
    return figure


def _effect(axis: Any, done: Sequence[Outcome], name: str, domain: Domain) -> None:
    """Plot one parameter: a dot for each trial; for choices, a line at the mean of each."""
    from reskeras.report.figures import whole_numbers

    axis.set_title(name)
    scores = np.array([outcome.known_score for outcome in done])
    if domain.choices is None:
        axis.plot([outcome.values[name] for outcome in done], scores, linestyle="none", **TRIAL)
        if domain.sampling == "log":
            _logarithmic(axis)
        elif isinstance(domain.low, int) and isinstance(domain.high, int):
            whole_numbers(axis.xaxis)
        return
    places = np.array([list(domain.choices).index(outcome.values[name]) for outcome in done], int)
    axis.plot(places, scores, linestyle="none", **TRIAL)
    for place in np.unique(places):
        axis.hlines(scores[places == place].mean(), place - 0.3, place + 0.3, **MEAN)
    axis.set_xlim(-0.6, len(domain.choices) - 0.4)
    labels = _choices(domain)
    axis.set_xticks(range(len(labels)), labels, **_turned(labels))


def _logarithmic(axis: Any) -> None:
    """A logarithmic x axis with ticks at 1, 2 and 5, abbreviated."""
    from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter

    low, high = axis.dataLim.intervalx
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 300 * low else (1.0,)))
    axis.xaxis.set_major_formatter(EngFormatter(sep="") if high >= 1000 else FuncFormatter(lambda tick, _: f"{tick:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    if low > 0:
        axis.set_xlim(low / 1.3, high * 1.3)


def _choices(domain: Domain) -> list[str]:
    """Tick labels of the choices."""
    return [shortened(printable(_label(choice)), LONGEST_CHOICE) for choice in domain.choices or ()]


def _turned(labels: Sequence[str]) -> dict[str, Any]:
    """How tick labels are turned: not at all if they are short, upright if there are many."""
    if max(map(cell_len, labels), default=0) <= 6:
        return {}
    few = len(labels) <= 6
    return {"ha": "right", "rotation_mode": "anchor", "rotation": 30 if few else 90, "va": "top" if few else "center"}


def _label(choice: Any) -> str:
    return f"{choice:g}" if isinstance(choice, float) else str(choice)
