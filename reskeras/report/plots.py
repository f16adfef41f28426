"""Sections shared by several pages: learning curves, overlaid analyses, diagrams of networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from reskeras.analysis.analysis import Analysis
from reskeras.plans.plan import Plan
from reskeras.printable import counted
from reskeras.report.analysis_plots import draw_analyses
from reskeras.report.architecture import draw
from reskeras.report.curves import WATCHED, curves_in_words, draw_curves
from reskeras.report.sections import Plot, drawing, plot
from reskeras.report.styles import Panels

PLOTS = {
    "responses": "Layer responses",
    "signal": "Shortcuts and effective depth",
    "gradients": "Gradients",
    "lesions": "Units removed and swapped",
}


def networks_by_plan(plans: Mapping[str, Any]) -> dict[str, str]:
    """The network of each run, named after the first run with an equal plan, of whatever task."""
    first: list[tuple[Any, str]] = []
    found = {}
    for name, plan in plans.items():
        found[name] = next((known for each, known in first if each == plan), name)
        first.append((plan, name))
    return found


def curves_of(
    metrics: Mapping[str, Sequence[Mapping[str, Any]]],
    networks: Mapping[str, str],
    log: str = "accuracy",
    seeds: Mapping[str, str] | None = None,
    published: Mapping[str, Any] | None = None,
    panels: Panels | None = None,
    watched: str = WATCHED,
) -> Plot | None:
    """The curves of 1 - `log` of the runs that have any, as `draw_curves` draws them."""
    known = {name: rows for name, rows in metrics.items() if rows}
    if not known:
        return None
    figure = draw_curves(known, networks, log, seeds, published, panels, watched)
    trained = any(log in epoch for rows in known.values() for epoch in rows)
    return plot("Training and test error" if trained else "Test error", figure, curves_in_words(known, log, published))


def analysis_plots(
    analyses: Mapping[str, Analysis],
    networks: Mapping[str, str],
    seeds: Mapping[str, str] | None = None,
    panels: Panels | None = None,
) -> Iterator[Plot]:
    """Plots of analyses, overlaid, as `draw_analyses` draws them."""
    if not analyses:
        return
    words = "; ".join(
        f"{name}: mean response {np.mean([each.deviation for each in found.responses]):.3f}, "
        f"effective depth {found.depth:.1f} of {found.layers} layers"
        for name, found in analyses.items()
    )
    taps = dict.fromkeys(each.tap for found in analyses.values() for each in found.responses)
    images = next(iter(analyses.values())).images
    for key, figure in draw_analyses(analyses, networks, seeds, panels).items():
        caption = (
            f"Responses are measured {' or '.join(taps)}; {counted(images, 'test image')}."
            if key == "responses"
            else ""
        )
        yield plot(PLOTS[key], figure, f"{PLOTS[key]}, one line per network. {words}.", caption)


def networks_of(plans: Mapping[str, Plan], noun: str = "Network", note: str = "") -> Iterator[Plot]:
    """A diagram of each network, equal ones once, titled by `noun`; `note` ends each caption."""
    drawn: list[Plan] = []
    for name, plan in plans.items():
        if plan in drawn:
            continue
        drawn.append(plan)
        total = plan.complexity()
        yield drawing(
            f"{noun} {name}",
            partial(draw, plan, name),
            f"The {noun.lower()} {name} drawn stage by stage: {plan.weighted_layers()} weighted layers, from "
            f"{plan.input_shape} to {plan.output_shape[0]} classes.",
            f"{total.parameters:,} parameters, {total.multiply_adds:,} multiply-adds per image. {note}".rstrip(),
        )
