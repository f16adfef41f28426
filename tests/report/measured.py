"""Metrics and analyses to draw, and the picture of a figure."""

import io

from reskeras.analysis.activations import UnitSignal
from reskeras.analysis.analysis import Analysis
from reskeras.analysis.lesions import Lesion
from reskeras.analysis.responses import Response


def rows(epochs, keys=("accuracy",)):
    return [
        {"epoch": epoch, **{f"{side}{key}": 0.5 + epoch / 100 for key in keys for side in ("", "val_")}}
        for epoch in range(1, epochs + 1)
    ]


def metrics(errors):
    """Rows of those test errors in per cent; training errors are a tenth lower."""
    return [
        {"epoch": place + 1, "accuracy": 1 - 0.009 * error, "val_accuracy": 1 - 0.01 * error}
        for place, error in enumerate(errors)
    ]


def analysed(name, layers=5, spread=1.0):
    responses = tuple(Response(f"layer{place}", "after batch norm", spread**place) for place in range(1, layers + 1))
    units = tuple(UnitSignal(f"unit{place}", 0.5, 1.0, None, place, 1e-3 * 10**place, 1e-6) for place in range(layers))
    lesions = tuple(Lesion("removed", (f"unit{place}",), 0.5) for place in range(1, layers))
    return Analysis(name, "digits", 10, 0.9, layers, responses, units, lesions)


def png(figure):
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def laid_out(figure):
    """The figure, laid out."""
    png(figure)
    return figure
