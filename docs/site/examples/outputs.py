"""Comparing what a page shows with what a command printed, and putting the one in the place of the other.

By default every character counts. A block that is `timed` may have other times, and hence other gaps between columns.
In one that is `trained`, the words must be the same, and each figure is compared by its kind:

- percentages may differ by 3 points: accuracies of a training differ between processors, which round sums differently;
- sizes of files may differ by 5%;
- decimals, such as losses, by 0.05 or a factor of 2;
- times are only compared in their unit, and in lines of an epoch and in tables of images/s all figures are;
- whole numbers are counts, and must be equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

from .blocks import EXACT, TIMED, PageError

REST = "..."
SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
DURATIONS = ("h", "min", "s", "ms", "µs")
UNITS = "|".join(["%", *SIZES, *DURATIONS])
FIGURE = re.compile(rf"(?<![\w.])-?(\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?)(?: ?({UNITS})(?!\w)|(?!\w))")
ROUGH = re.compile(r"epoch \d|.*\bimages/s\b")  # lines, or tables that begin with one, whose figures may all differ

Same = Callable[[str, str], bool]


def matches(shown: Sequence[str], printed: Sequence[str], tolerance: str = EXACT) -> bool:
    """Whether the lines `printed` are those `shown`, in which a line `...` stands for any number of lines."""
    rough = _rough(shown)

    @cache
    def rest(here: int, there: int) -> bool:
        if here == len(shown):
            return there == len(printed)
        if shown[here] == REST:
            return any(rest(here + 1, later) for later in range(there, len(printed) + 1))
        return (
            there < len(printed)
            and line_matches(shown[here], printed[there], tolerance, rough[here])
            and rest(here + 1, there + 1)
        )

    return rest(0, 0)


def line_matches(shown: str, printed: str, tolerance: str, rough: bool = False) -> bool:
    """Whether a line is the one shown; with `rough` all figures of a trained network may differ."""
    if shown == printed or tolerance == EXACT:
        return shown == printed
    ours, theirs = (list(FIGURE.finditer(line)) for line in (shown, printed))
    if _words(shown, tolerance) != _words(printed, tolerance) or len(ours) != len(theirs):
        return False
    return tolerance == TIMED or rough or all(_near(*pair) for pair in zip(ours, theirs, strict=True))


def _words(line: str, tolerance: str) -> list[str]:
    """The words of a line, with units alone in the place of figures that are compared otherwise."""
    durations_only = tolerance == TIMED
    return FIGURE.sub(
        lambda figure: figure[0] if durations_only and figure[2] not in DURATIONS else f"<{figure[2] or ''}>", line
    ).split()


def _near(shown: re.Match[str], printed: re.Match[str]) -> bool:
    ours, theirs = (float(figure[1].replace(",", "")) for figure in (shown, printed))
    unit, difference = shown[2], abs(ours - theirs)
    if unit in DURATIONS:
        return True
    if unit == "%":
        return difference <= 3
    if unit in SIZES:
        return difference <= 0.05 * ours
    if re.search(r"[.e]", shown[1]):
        return difference <= 0.05 or max(ours, theirs) <= 2 * min(ours, theirs)
    return ours == theirs


def _rough(lines: Sequence[str]) -> list[bool]:
    """Which lines are about an epoch, or in a paragraph whose first line has a speed."""
    found, table = [], False
    for place, line in enumerate(lines):
        if place == 0 or not lines[place - 1]:
            table = bool(ROUGH.match(line))
        found.append(bool(line) and (table or bool(ROUGH.match(line))))
    return found


def elided(shown: Sequence[str], printed: Sequence[str]) -> list[str]:
    """The lines `printed`, with `...` where `shown` has it: as many lines before the first and after the last one as
    are shown, and between two of them the lines that say the same. PageError if there are none such."""
    parts: list[list[str]] = [[]]
    for line in shown:
        if line == REST:
            parts.append([])
        else:
            parts[-1].append(line)
    first, *between, last = parts if len(parts) > 1 else [[*printed], []]
    if len(parts) == 1 or len(first) + len(last) + sum(map(len, between)) >= len(printed):
        return [*printed]
    found, place, end = [*printed[: len(first)]], len(first), len(printed) - len(last)
    for part in between:
        start = next((start for start in range(place, end) if _alike(part, printed[start : start + len(part)])), None)
        if start is None:
            raise PageError(f"what is between two `...` is not printed any more: {part[0] if part else ''}")
        found += [REST] * (start > place or not found) + [*printed[start : start + len(part)]]
        place = start + len(part)
    return found + [REST] * (end > place) + [*printed[end:]]


def _alike(shown: Sequence[str], printed: Sequence[str]) -> bool:
    """Whether lines have the same words, whatever their figures."""
    return [FIGURE.sub("#", line).split() for line in shown] == [FIGURE.sub("#", line).split() for line in printed]
