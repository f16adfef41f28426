"""What came of a trial, as the worker that ran it wrote it down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import nan
from pathlib import Path
from typing import Any

from reskeras.files import write_json
from reskeras.spec.space import Space, Value
from reskeras.stored import Number, read_json

OUTCOME_FILE = "outcome.json"
ROUND = "tuner/"  # what Hyperband adds to the values of a trial
COMPLETED, FAILED = "completed", "failed"


@dataclass(frozen=True)
class Outcome:
    """A trial: its number, what was varied, its figures, and where it failed why.

    `figures` are means over the executions, of the best epoch of each; `score` is the objective's value.
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
        """Into a trial's folder."""
        write_json(folder / OUTCOME_FILE, asdict(self), durable=True)


def outcome_of(trial: str, values: Mapping[str, Any], space: Space, status: str, score: float | None = None,
               figures: Mapping[str, Number] | None = None, reason: str = "") -> Outcome:
    """The outcome of a trial with a tuner's `values`: those that count in `space`, and Hyperband's rounds apart."""
    rounds = {name.removeprefix(ROUND): value for name, value in values.items() if name.startswith(ROUND)}
    return Outcome(trial, space.active(values), status, score, figures or {}, reason, rounds)


def read_outcomes(folder: Path) -> list[Outcome]:
    """Of all trials in a search's folder that have ended, by number."""
    found = (read_outcome(path.parent) for path in sorted(folder.glob(f"trial_*/{OUTCOME_FILE}")))
    return [outcome for outcome in found if outcome is not None]


def read_outcome(folder: Path) -> Outcome | None:
    """Of the trial in `folder`; None when it has not ended. A broken file is a ReskerasError (status 1)."""
    path = folder / OUTCOME_FILE
    return read_json(path, "tune", Outcome) if path.exists() else None
