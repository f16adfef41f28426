"""The outcome of a trial, as recorded by the worker that ran it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import nan
from pathlib import Path
from typing import Any

from reskeras.files import write_json
from reskeras.spaces.space import Space, Value
from reskeras.stored import Number, read_json

OUTCOME_FILE = "outcome.json"
ROUND = "tuner/"  # prefix of the values that Hyperband adds to a trial's
COMPLETED, FAILED = "completed", "failed"


@dataclass(frozen=True)
class Outcome:
    """A finished trial: its number, its values, its figures, and the reason if it failed.

    `figures` are means over the executions, each at its best epoch; `score` is the objective's value; `rounds` are
    Hyperband's own values.
    """

    trial: str
    values: Mapping[str, Value]
    status: str
    score: float | None = None
    figures: Mapping[str, Number] = field(default_factory=dict)
    reason: str = ""
    rounds: Mapping[str, int | str] = field(default_factory=dict)

    @property
    def known_score(self) -> float:
        """The score; NaN where there is none."""
        return nan if self.score is None else self.score

    def save(self, folder: Path) -> None:
        """Write it to the trial's folder."""
        write_json(folder / OUTCOME_FILE, asdict(self), durable=True)


def outcome_of(
    trial: str,
    values: Mapping[str, Any],
    space: Space,
    status: str,
    score: float | None = None,
    figures: Mapping[str, Number] | None = None,
    reason: str = "",
) -> Outcome:
    """The outcome of a trial with a tuner's `values`: those active in `space`, and Hyperband's rounds."""
    rounds = {name.removeprefix(ROUND): value for name, value in values.items() if name.startswith(ROUND)}
    return Outcome(trial, space.active(values), status, score, figures or {}, reason, rounds)


def read_outcomes(folder: Path) -> list[Outcome]:
    """The outcomes of all finished trials in a search's folder, by number."""
    found = (read_outcome(path.parent) for path in sorted(folder.glob(f"trial_*/{OUTCOME_FILE}")))
    return [outcome for outcome in found if outcome is not None]


def read_outcome(folder: Path) -> Outcome | None:
    """The outcome of the trial in `folder`; None when it has not ended. ReskerasError (status 1) for a broken file."""
    path = folder / OUTCOME_FILE
    return read_json(path, "tune", Outcome) if path.exists() else None
