"""Verdicts on the papers' findings: whether one row is below another, given how much seeds and test images vary."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from reskeras.experiments.measures import MEASURES
from reskeras.experiments.right_images import FEWEST, RightImages, chance_of_difference
from reskeras.experiments.statistics import Statistics

Word = Literal["came out", "reversed", "undecided", "not measured"]
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Verdict:
    """What became of a finding, in a word, and the figures that say so."""

    word: Word
    why: str


@dataclass(frozen=True)
class Side:
    """One of two compared rows: its name, its measure over the seeds, and which images its runs had right."""

    row: str
    found: Statistics
    right: Sequence[RightImages] = ()


def pooled_deviation(rows: Iterable[Statistics], measure: str) -> float | None:
    """The standard deviation between seeds, pooled over the `rows` that have several; at least what the measure is
    known to vary by. None where nothing says how much seeds vary. Counts do not vary."""
    several = [each for each in rows if each.count > 1]
    freedom = sum(each.count - 1 for each in several)
    pooled = math.sqrt(sum((each.count - 1) * each.deviation**2 for each in several) / freedom) if freedom else None
    if MEASURES[measure].counted:
        return 0.0
    return max(pooled or 0.0, MEASURES[measure].varies) or pooled


def judge(less: Side, more: Side, measure: str, deviation: float | None) -> Verdict:
    """Whether `less` is below `more`: only where the difference of their means exceeds twice its standard error, by the
    `deviation` between seeds, and where the images say so too if the measure has any (McNemar's test, p < 0.05)."""
    shown = MEASURES[measure].shown
    figures = " and ".join(f"{shown(each.found.mean)} ({each.row})" for each in (less, more))
    told = [f"{measure.replace('_', ' ')} {figures}{_runs(less, more)}"]
    if shown(less.found.mean) == shown(more.found.mean):
        return Verdict("undecided", f"{told[0]}; equal")
    if deviation is None:
        return Verdict("undecided", f"{told[0]}; no row has several seeds, which would say how much they vary")
    difference = more.found.mean - less.found.mean
    needed = 2 * deviation * math.sqrt(1 / less.found.count + 1 / more.found.count)
    if not MEASURES[measure].counted:
        told.append(
            f"a difference of {_step(abs(difference), measure)}, of which {_step(needed, measure)} may be chance"
        )
    decided = abs(difference) > needed
    if MEASURES[measure].by_image:
        chance = chance_of_difference(less.right, more.right) if less.right and more.right else None
        told.append(_mcnemar(chance))
        decided = decided and chance is not None and chance < SIGNIFICANT
    if not decided:
        return Verdict("undecided", "; ".join(told))
    if less.found.count == more.found.count == 1 and not MEASURES[measure].counted:
        told.append("these two networks differ; of the architectures one seed each says little")
    return Verdict("came out" if difference > 0 else "reversed", "; ".join(told))


def _runs(less: Side, more: Side) -> str:
    first, second = less.found.count, more.found.count
    if first != second:
        return f", means of {first} and {second} runs"
    return ", one run each" if first == 1 else f", means of {first} runs each"


def _step(difference: float, measure: str) -> str:
    return f"{100 * difference:.2f} points" if MEASURES[measure].percent else f"{difference:.3f}"


def _mcnemar(chance: float | None) -> str:
    if chance is None:
        return f"McNemar's test needs {FEWEST} images on which the two differ"
    return f"McNemar's test: p {'< 0.001' if chance < 0.001 else f'= {chance:.3f}'}"
