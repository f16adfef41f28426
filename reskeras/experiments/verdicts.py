"""Verdicts on the papers' findings: whether one row is below another, given how much seeds and test images vary."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from reskeras.experiments.measures import MEASURES
from reskeras.experiments.right_images import RightImages, Untested, chance_of_difference
from reskeras.experiments.statistics import Statistics
from reskeras.printable import counted

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


@dataclass(frozen=True)
class Spread:
    """The standard deviation between seeds, from so many degrees of `freedom`: 0 where it is assumed."""

    deviation: float
    freedom: int

    def in_words(self, measure: str) -> str:
        """What it is known from."""
        if self.freedom:
            return counted(self.freedom, "degree of freedom", "degrees of freedom")
        return f"assuming that seeds vary by {_step(self.deviation, measure)}"


def pooled_spread(rows: Iterable[Statistics], measure: str) -> Spread | None:
    """How much seeds vary, pooled over the `rows` that have several; at least what the measure is assumed to vary by.
    None where nothing says so. Counts do not vary."""
    several = [each for each in rows if each.count > 1]
    freedom, assumed = sum(each.count - 1 for each in several), MEASURES[measure].varies
    pooled = math.sqrt(sum((each.count - 1) * each.deviation**2 for each in several) / freedom) if freedom else 0.0
    if MEASURES[measure].counted or assumed > pooled:
        return Spread(assumed, 0)
    return Spread(pooled, freedom) if freedom else None


def judge(less: Side, more: Side, measure: str, spread: Spread | None) -> Verdict:
    """Whether `less` is below `more`: only where the difference of their means exceeds twice its standard error, by the
    `spread` of seeds, and where the images say so too if the measure has any (McNemar's test, p < 0.05)."""
    shown = MEASURES[measure].shown
    figures = " and ".join(f"{shown(each.found.mean)} ({each.row})" for each in (less, more))
    told = [f"{measure.replace('_', ' ')} {figures}{_runs(less, more)}"]
    if shown(less.found.mean) == shown(more.found.mean):
        return Verdict("undecided", f"{told[0]}; equal")
    if spread is None:
        return Verdict("undecided", f"{told[0]}; no row has several seeds, from which to tell how much they vary")
    difference = more.found.mean - less.found.mean
    needed = 2 * spread.deviation * math.sqrt(1 / less.found.count + 1 / more.found.count)
    if not MEASURES[measure].counted:
        told.append(
            f"a difference of {_step(abs(difference), measure)}, where twice its standard error is "
            f"{_step(needed, measure)} ({spread.in_words(measure)})"
        )
    decided = abs(difference) > needed
    if MEASURES[measure].by_image:
        try:
            chance = chance_of_difference(less.right, more.right)
            told.append(f"McNemar's test: p {'< 0.001' if chance < 0.001 else f'= {chance:.3f}'}")
            decided = decided and chance < SIGNIFICANT
        except Untested as reason:
            told.append(f"no test on the images, because {reason}")
            decided = False
    if not decided:
        return Verdict("undecided", "; ".join(told))
    if min(less.found.count, more.found.count) == 1 and not MEASURES[measure].counted:
        told.append("the networks differ, but a single seed says little about their architectures")
    return Verdict("came out" if difference > 0 else "reversed", "; ".join(told))


def _runs(less: Side, more: Side) -> str:
    first, second = less.found.count, more.found.count
    if first != second:
        return f", means of {first} and {second} runs"
    return ", one run each" if first == 1 else f", means of {first} runs each"


def _step(difference: float, measure: str) -> str:
    return f"{100 * difference:.2f} points" if MEASURES[measure].percent else f"{difference:.3f}"
