"""What the test of a run found, as its model card has it: figures with intervals, figures by class, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import Any

from reskeras.evaluation.intervals import Interval

MOST_CLASSES = 50  # rows of the figures by class
FEW = 30  # images or objects of a class that say little


@dataclass(frozen=True)
class Figure:
    """A figure of the test: its name, its `metric` in the terms of the Hugging Face hub, its value, None where it is
    not finite, with its 95% interval if there is one, and what it means. `share`: it is one, 0 to 1."""

    name: str
    metric: str
    value: float | None
    interval: Interval | None = None
    meaning: str = ""
    share: bool = True

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Name, value, interval and meaning as texts."""
        return self.name, self._told(self.value), interval_told(self.interval), self.meaning

    def _told(self, value: float | None) -> str:
        if value is None or not isfinite(value):
            return "undefined"
        return f"{value:.2%}" if self.share else f"{value:.4g}"


@dataclass(frozen=True)
class CardResults:
    """Results on `images` images of a split. `rows` are figures by class under `columns`, at most MOST_CLASSES; `more`
    classes are left out. `limits` are sentences about these figures, `notes` what there was to tell of the images;
    `model` is the SHA-256 of the model file that was tested."""

    data: str
    split: str
    images: int
    views: str
    figures: tuple[Figure, ...]
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    more: int = 0
    limits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    model: str = ""

    def by_class(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        figures: Sequence[float | None],
        counts: Sequence[int],
    ) -> CardResults:
        """The same with a row for each class; of many only those with the lowest of `figures`. `counts` are how many
        test images, or objects, each class has."""
        kept = list(range(len(rows)))
        if len(rows) > MOST_CLASSES:
            known = [inf if figure is None else figure for figure in figures]
            kept = sorted(kept, key=known.__getitem__)[:MOST_CLASSES]
        few = sum(count < FEW for count in counts)
        have = "has" if few == 1 else "have"
        told = (
            f"{few:,} of the {len(counts):,} classes {have} fewer than {FEW} {columns[1]}, which say little about them."
        )
        return replace(
            self,
            columns=tuple(columns),
            rows=tuple(tuple(rows[place]) for place in kept),
            more=len(rows) - len(kept),
            limits=(*([told] if few else []), *self.limits),
        )


def results_with(found: Any, *figures: Figure, limits: Sequence[str] = ()) -> CardResults:
    """The result `found` of a task's evaluation with these figures."""
    return CardResults(found.data, found.split, found.images, found.views, figures, limits=tuple(limits))


def plain_results(found: Mapping[str, Any], data: str) -> CardResults:
    """The same of an evaluation of which nothing is known but its `as_dict()`: every number in it is a figure."""
    figures = [
        Figure(name.replace("_", " "), name, float(value), share=False)
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in ("images", "undefined")
    ]
    images = found.get("images")
    told = {name: str(found[name]) for name in ("data", "split", "views") if name in found}
    return CardResults(
        told.get("data", data),
        told.get("split", "test"),
        images if isinstance(images, int) else 0,
        told.get("views", ""),
        tuple(figures),
    )


def interval_told(interval: Interval | None) -> str:
    """`98.01% to 99.85%`; empty where there is none."""
    return f"{interval[0]:.2%} to {interval[1]:.2%}" if interval else ""
