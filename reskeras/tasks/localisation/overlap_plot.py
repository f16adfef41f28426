"""Plot of the share of right boxes by the overlap that a right one needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from reskeras.report.styles import DOTTED, GREY, line_styles, styled
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.localisation.evaluation import CENTRE, LocalisationEvaluation
from reskeras.tasks.localisation.rule import OVERLAP, covered, same_box

ASKED = np.linspace(0, 1, 101)
Located = Mapping[str, tuple[LocalisationEvaluation, Objects]]  # by run: with its test images
MIDDLE = "middle half of the image"


@styled
def draw_overlaps(found: Located, networks: Mapping[str, str] | None = None) -> Any:
    """A matplotlib figure: per cent of boxes whose IoU with an object of their class is at least as high, with a line
    for each run, those of one of `networks` in one colour, and a line for the box that knows nothing."""
    from reskeras.report.figures import Figure, plot_line
    from reskeras.report.legends import add_legend

    figure = Figure()
    axis = figure.subplots()
    styles = line_styles(found, networks)
    for name, told in found.items():
        plot_line(axis, ASKED, shares(*told), **styles[name])
    evaluation, test = next(iter(found.values()))
    middle = covered(test, same_box(test, CENTRE, evaluation.overlaps.shape[1]))
    plot_line(axis, ASKED, _shares(test, middle), **{**DOTTED, "color": GREY}, label=MIDDLE)
    axis.axvline(OVERLAP, color=GREY, linewidth=0.8)
    axis.set(
        xlabel="IoU that a right box needs",
        ylabel="right boxes (%)",
        xlim=(0, 1),
        ylim=(0, 101),
        title="Right boxes by the IoU required; ILSVRC requires 0.5",
    )
    add_legend(axis)
    return figure


def overlaps_in_words(found: Located) -> str:
    """Alternative text of the plot."""
    parts = []
    for name, told in found.items():
        known = dict(zip(ASKED.round(2).tolist(), shares(*told), strict=True))
        parts.append(f"{name}: " + ", ".join(f"{known[asked]:.1f}% at {asked:g}" for asked in (0.5, 0.7, 0.9)))
    return f"Right boxes by the IoU that a right one needs. {'; '.join(parts)}."


def shares(evaluation: LocalisationEvaluation, test: Objects) -> np.ndarray:
    """Per cent of the boxes with an IoU of at least each of ASKED."""
    return _shares(test, evaluation.overlaps)


def _shares(test: Objects, overlaps: np.ndarray) -> np.ndarray:
    held = overlaps[test.held(overlaps.shape[1])]
    return 100 * (held[:, np.newaxis] >= ASKED).mean(axis=0)
