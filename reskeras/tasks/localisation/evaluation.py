"""Evaluation of a localiser on a split by the rule of ILSVRC, beside what a box that knows nothing gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reskeras.printable import short_repr
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.localisation.localiser import Located
from reskeras.tasks.localisation.rule import OVERLAP, covered, mean_sides, same_box, top, wrong

# sides of the middle half of an image, as shares
CENTRE = ((1 - 0.5**0.5) / 2,) * 2 + ((1 + 0.5**0.5) / 2,) * 2
FIVE = 5


@dataclass(frozen=True)
class ClassLocalisation:
    """Of the `images` that hold a class, the share whose box for it is wrong, and the mean IoU of these boxes."""

    name: str
    images: int
    error: float | None
    overlap: float | None


@dataclass(frozen=True)
class LocalisationEvaluation:
    """How good a localiser is on `images` images of a split.

    `error` is the share of wrong boxes where the class is given (ground-truth-class error), over images and the classes
    that each holds; `centre` and `mean` are those of the middle half of every image, and of the mean box of the
    training images. `top1` and `top5` are the shares of images that are wrong with the classes that `classifier`
    predicts, `class1` and `class5` those of its classes alone; None without one, and of five with fewer than six
    classes.
    """

    data: str
    split: str
    images: int
    views: str
    error: float
    overlap: float
    centre: float
    mean: float
    classes: tuple[ClassLocalisation, ...]
    classifier: str | None = None
    top1: float | None = None
    top5: float | None = None
    class1: float | None = None
    class5: float | None = None
    located: Located = field(repr=False, compare=False, kw_only=True)
    overlaps: np.ndarray = field(repr=False, compare=False, kw_only=True)  # (n, C), as `rule.covered` has them

    @property
    def right(self) -> np.ndarray:
        """Whether the box of each class is right, bool (n, C)."""
        return self.overlaps >= OVERLAP

    def __repr__(self) -> str:
        return short_repr(self, f"{self.images:,} {self.split} images of {self.data}", error=self.error, top1=self.top1)

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain data for JSON."""
        left = {"located", "overlaps", "classes"}
        return {
            **{name: value for name, value in vars(self).items() if name not in left},
            "classes": [vars(each) for each in self.classes],
        }


def evaluation_of(
    located: Located,
    views: str,
    split: Objects,
    train: Objects,
    classes: Sequence[str],
    data: str,
    classifier: str | None = None,
    guesses: np.ndarray | None = None,
) -> LocalisationEvaluation:
    """The evaluation of the boxes `located` in `split`, whose images hold an object each; `guesses` (n, C) are scores
    of the classes by the `classifier`."""
    true, best = split.held(len(classes)), covered(split, located.boxes[:, :, 0])
    right = best >= OVERLAP
    told: dict[str, Any] = {}
    if guesses is not None:
        for count in (1, FIVE) if len(classes) > FIVE else (1,):
            first = top(guesses, count)
            told |= {f"top{count}": wrong(right, first), f"class{count}": wrong(true, first)}

    def error_of(boxes: np.ndarray) -> float:
        return float(1 - (covered(split, boxes) >= OVERLAP)[true].mean())

    return LocalisationEvaluation(
        data,
        split.name,
        split.count,
        views,
        float(1 - right[true].mean()),
        float(best[true].mean()),
        error_of(same_box(split, CENTRE, len(classes))),
        error_of(same_box(split, mean_sides(train).tolist(), len(classes))),
        tuple(
            ClassLocalisation(
                name,
                int(own.sum()),
                float(1 - right[own, place].mean()) if own.any() else None,
                float(best[own, place].mean()) if own.any() else None,
            )
            for place, (name, own) in enumerate(zip(classes, true.T, strict=True))
        ),
        classifier,
        **told,
        located=located,
        overlaps=best,
    )
