"""Why rows of a suite failed: several may have for one reason, such as data that none can be trained on."""

from __future__ import annotations

from collections.abc import Iterable


class Reasons:
    """Words for the reasons of one row after the other, so that each is told once."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}

    def words(self, row: str, reason: str) -> str:
        """The reason, or which row failed for the same one before."""
        first = self._first.setdefault(reason, row)
        return reason if first == row else f"as {first!r} did"


def by_reason(failed: Iterable[tuple[str, str]]) -> list[str]:
    """`first row, second row: reason`, a text for each reason of rows and their reasons."""
    rows: dict[str, list[str]] = {}
    for row, reason in failed:
        rows.setdefault(reason, []).append(row)
    return [f"{', '.join(dict.fromkeys(names))}: {reason}" for reason, names in rows.items()]
