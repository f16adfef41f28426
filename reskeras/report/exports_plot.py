"""The plot of a run's artefacts: accuracy against latency; the area of a marker is the size of the artefact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reskeras.export.proof import TOP1, Proof
from reskeras.printable import counted
from reskeras.quantities import short_bytes
from reskeras.report.styles import DOTTED, GREY, line_styles, styled

SMALLEST, LARGEST = 6.0, 24.0  # points; diameters of markers
WHISKERS: dict[str, Any] = {"elinewidth": 1.2, "capsize": 3, "alpha": 0.85}
DOTS = {"": "o", "o": "s", "s": "D", "^": "^"}  # of lines without a marker, and with each


def placed(proofs: Sequence[Proof]) -> list[tuple[Proof, float]]:
    """The artefacts that hold and were timed, with the median milliseconds of their smallest batch by image."""
    timed = [(proof, proof.speed.timings[0]) for proof in proofs if proof.holds and proof.speed and proof.speed.timings]
    return [(proof, timing.p50_ms / timing.batch) for proof, timing in timed]


@styled
def draw_exports(proofs: Sequence[Proof]) -> Any:
    """A matplotlib figure of a run's artefacts, with 95% intervals of the accuracy."""
    from reskeras.report.figures import Figure
    from reskeras.report.legends import add_key

    shown = placed(proofs)
    first = shown[0][0]
    sizes = np.sqrt([proof.bytes for proof, _ in shown])
    diameters = SMALLEST + (LARGEST - SMALLEST) * sizes / sizes.max()
    names = [f"{proof.kind}, {short_bytes(proof.bytes)}" for proof, _ in shown]
    styles = {name: _dot(style) for name, style in line_styles(names).items()}
    figure = Figure()
    axis = figure.subplots()
    axis.set_xscale("log")
    axis.axhline(100 * first.keras_accuracy, color=GREY, **DOTTED)
    for (proof, latency), name, diameter in zip(shown, names, diameters, strict=True):
        low, high = proof.interval or (proof.accuracy, proof.accuracy)
        spread = [[100 * (proof.accuracy - low)], [100 * (high - proof.accuracy)]]
        style = styles[name] | WHISKERS | {"markersize": diameter}
        axis.errorbar([latency], [100 * proof.accuracy], yerr=spread if proof.interval else None, **style)
    axis.margins(x=0.15, y=0.15)
    axis.set_xlabel(f"milliseconds an image, {counted(first.speed.threads if first.speed else 1, 'thread')}")
    axis.set_ylabel(f"{'accuracy' if first.accuracy_of == TOP1 else first.accuracy_of}, %")
    add_key(figure, {**styles, "Keras model": DOTTED})
    return figure


def _dot(style: Mapping[str, Any]) -> dict[str, Any]:
    """A marker alone, of a line's style."""
    return {
        "color": style["color"],
        "marker": DOTS[style["marker"]],
        "markersize": 9,
        "markeredgewidth": 0,
        "linestyle": "none",
    }


def exports_in_words(proofs: Sequence[Proof]) -> str:
    """Alternative text of the plot."""
    told = [
        f"{proof.kind}: {proof.accuracy:.2%}, {latency:.2f} ms an image, {short_bytes(proof.bytes)}"
        for proof, latency in placed(proofs)
    ]
    return f"Accuracy against latency. {'; '.join(told)}."
