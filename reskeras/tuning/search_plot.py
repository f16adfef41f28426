"""Plots of a search: the objective against the networks' costs, and the effect of each parameter on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reskeras.printable import printable
from reskeras.report.fonts import shortened
from reskeras.spaces.space import Domain
from reskeras.tuning.objective import Objective
from reskeras.tuning.outcome import Outcome
from reskeras.tuning.search import Search

COSTS = {"parameters": "parameters", "multiply_adds": "multiply-adds per image"}
PARETO_FILE, EFFECTS_FILE = "pareto", "effects"
COLUMNS = 3
LONGEST_CHOICE = 18  # characters of a choice's tick label
DOT, FRONT = "#4c78a8", "#d1495b"


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


def _pareto(done: Sequence[Outcome], objective: Objective, title: str) -> Any:
    from reskeras.report.figures import Figure

    figure = Figure(10, 4.2)
    axes = figure.subplots(1, len(COSTS), sharey=True)
    scores = [outcome.known_score for outcome in done]
    for axis, (cost, label) in zip(axes, COSTS.items(), strict=True):
        values = [outcome.figures[cost] for outcome in done]
        front = pareto_front(values, scores, objective.direction)
        axis.scatter(values, scores, color=DOT, s=30, label="trial")
        axis.plot(
            [values[index] for index in front],
            [scores[index] for index in front],
            "o-",
            color=FRONT,
            drawstyle="steps-post",
            markersize=6,
            label="Pareto front",
        )
        for index in front:
            axis.annotate(
                done[index].trial.lstrip("0") or "0",
                (values[index], scores[index]),
                textcoords="offset points",
                xytext=(5, -11),
                fontsize=8,
                color=FRONT,
            )
        axis.set_xlabel(label)
        _logarithmic(axis)
        axis.grid(alpha=0.25)
    axes[0].set_ylabel(f"{objective.name} ({'higher' if objective.direction == 'max' else 'lower'} is better)")
    axes[0].legend(frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure


def _effects(done: Sequence[Outcome], objective: Objective, parameters: dict[str, Domain]) -> Any:
    from reskeras.report.figures import Figure

    rows = -(-len(parameters) // COLUMNS)
    columns = min(COLUMNS, len(parameters))
    figure = Figure(3.6 * columns, 2.9 * rows + 0.3)
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
    axis.set_title(name, fontsize=10)
    axis.grid(alpha=0.25)
    scores = np.array([outcome.known_score for outcome in done])
    if domain.choices is None:
        axis.scatter([outcome.values[name] for outcome in done], scores, color=DOT, s=22)
        if domain.sampling == "log":
            _logarithmic(axis)
        return
    places = np.array([list(domain.choices).index(outcome.values[name]) for outcome in done], int)
    axis.scatter(places, scores, color=DOT, s=22, alpha=0.8)
    for place in np.unique(places):
        axis.hlines(scores[places == place].mean(), place - 0.3, place + 0.3, color=FRONT)
    axis.set_xlim(-0.6, len(domain.choices) - 0.4)
    labels = [shortened(printable(_label(choice)), LONGEST_CHOICE) for choice in domain.choices]
    turned = (
        {}
        if max(map(len, labels)) <= 6
        else {
            "ha": "right",
            "rotation_mode": "anchor",
            "rotation": 30 if len(labels) <= 6 else 90,
            "va": "top" if len(labels) <= 6 else "center",
        }
    )
    axis.set_xticks(range(len(labels)), labels, fontsize=8, **turned)


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


def _label(choice: Any) -> str:
    return f"{choice:g}" if isinstance(choice, float) else str(choice)
