"""Printed trials of a search: a line as each ends, and the best ones at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reskeras.printable import counted
from reskeras.quantities import short

from .output import GAP, command_line, echo, facts, heading, note
from .tables import Column, table

if TYPE_CHECKING:
    from reskeras.spaces.space import Space
    from reskeras.tuning.outcome import Outcome
    from reskeras.tuning.search import Search

BEST = 10


class Board:
    """A table that grows by a line as each trial ends."""

    def __init__(self, space: Space, err: bool = False):
        self.err = err
        self.columns = ["trial", "score", *(name.partition(".")[2] for name in space.parameters), "parameters", "time"]
        self.names = list(space.parameters)
        longest = [
            max([len(_shown(choice)) for choice in domain.choices or ()] or [7]) for domain in space.parameters.values()
        ]
        self.widths = [
            max(len(title), width) for title, width in zip(self.columns, [5, 8, *longest, 8, 7], strict=True)
        ]
        self.began = False

    def add(self, outcome: Outcome) -> None:
        """Print the line of a finished trial."""
        if not self.began:
            self._line(self.columns)
            self.began = True
        if outcome.status == "failed":
            self._line([outcome.trial, "failed", *self._values(outcome)], f"{GAP}{outcome.reason}")
            return
        figures = outcome.figures
        self._line(
            [
                outcome.trial,
                f"{outcome.score:.4f}",
                *self._values(outcome),
                short(figures["parameters"]),
                f"{figures['seconds']:.1f} s",
            ]
        )

    def _values(self, outcome: Outcome) -> list[str]:
        return [_shown(outcome.values.get(name, "")) for name in self.names]

    def _line(self, cells: list[str], rest: str = "") -> None:
        padded = (cell.ljust(width) for cell, width in zip(cells, self.widths, strict=False))
        note((GAP.join(padded) + rest).rstrip(), err=self.err)


def echo_search(search: Search) -> None:
    """Print the best trials, the failures with their reasons, and where the files are."""
    outcomes, ranked, names = search.outcomes(), search.ranked(), list(search.space().parameters)
    objective = search.objective()
    heading(f"{search.path}", f"{objective}, {counted(len(outcomes), 'trial')}, {len(outcomes) - len(ranked)} failed")
    columns = [
        Column("trial"),
        Column(objective.name, right=True),
        *(Column(name.partition(".")[2], spare=1) for name in names),
        Column("parameters", right=True),
        Column("multiply-adds", right=True),
        Column("seconds", right=True),
    ]
    table(
        columns,
        [
            [
                each.trial,
                f"{each.score:.4f}",
                *(_shown(each.values.get(name, "")) for name in names),
                short(each.figures["parameters"]),
                short(each.figures["multiply_adds"]),
                f"{each.figures['seconds']:.1f}",
            ]
            for each in ranked[:BEST]
        ],
    )
    for each in outcomes:
        if each.reason:
            echo(f"trial {each.trial} failed: {each.reason}")
    files = [path.name for path in sorted(search.path.iterdir()) if path.is_file() and path.suffix in (".csv", ".png")]
    if ranked:
        facts([("best", ranked[0].trial, str(search.best_file)), ("files", "", ", ".join(files))])
        note("next   " + command_line(*search.task().words("train"), search.best_file, "--data", search.asked().data))


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
