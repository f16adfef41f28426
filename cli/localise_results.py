"""Printed output of localisers' evaluations and predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .output import echo, facts
from .tables import Column, table

if TYPE_CHECKING:
    from reskeras.tasks.localisation.evaluation import LocalisationEvaluation
    from reskeras.tasks.localisation.run import LocaliserRun


def echo_localisation(result: LocalisationEvaluation, run: LocaliserRun) -> None:
    """Print the errors by class, where the class is given, and with a classifier's classes."""
    facts([("images", f"{result.images:,}", f"{result.data}, {result.split} split, {result.views}, float32")])
    echo()
    table(
        [Column("class"), *(Column(title, right=True) for title in ("images", "error", "mean IoU"))],
        [[each.name, f"{each.images:,}", share(each.error), share(each.overlap)] for each in result.classes],
    )
    echo()
    rows = [
        ("error", share(result.error), "of boxes where the class is given; right at IoU 0.5 or more"),
        ("mean IoU", share(result.overlap), "of these boxes"),
        ("middle half", share(result.centre), "error of one box, the middle half of every image"),
        ("mean box", share(result.mean), "error of one box, the mean of the training images'"),
    ]
    if result.classifier:
        rows += [
            (
                "top-1 error",
                share(result.top1),
                f"with the class of {result.classifier}, itself {share(result.class1)}",
            ),
            ("top-5 error", share(result.top5), f"with its five best classes, themselves {share(result.class5)}"),
        ][: 1 if result.top5 is None else 2]
    facts(rows)


def share(value: float | None) -> str:
    """A share in per cent; empty where there is none."""
    return "" if value is None else f"{value:.2%}"


def echo_locations(found: Sequence[Any]) -> None:
    """Print a line for each class of each image; with the classifier's probabilities where there are any."""
    every = [(image.path if place == 0 else "", each) for image in found for place, each in enumerate(image.detections)]
    guessed = any(getattr(each, "probability", None) is not None for _, each in every)
    rows = [
        [
            path,
            each.name,
            *([share(each.probability)] if guessed else []),
            share(each.score),
            *(f"{side:.1f}" for side in each.box),
        ]
        for path, each in every
    ]
    titles = (*(["probability"] if guessed else []), "box score", "top", "left", "bottom", "right")
    rows += [[image.path, "nothing", *[""] * len(titles)] for image in found if not image.detections]
    table([Column("image"), Column("class"), *(Column(title, right=True) for title in titles)], rows)
