"""What came of a trial, as the worker that ran it wrote it down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from reskeras.errors import failure
from reskeras.files import write_json
from reskeras.spec.space import Value
from reskeras.strict_json import numbers

OUTCOME_FILE = "outcome.json"
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
    figures: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    rounds: Mapping[str, int] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Into a trial's folder."""
        write_json(folder / OUTCOME_FILE, asdict(self), durable=True)


def read_outcomes(folder: Path) -> list[Outcome]:
    """Of all trials in a search's folder that have ended, by number."""
    return [read_outcome(path.parent) for path in sorted(folder.glob(f"trial_*/{OUTCOME_FILE}"))]


def read_outcome(folder: Path) -> Outcome | None:
    """Of the trial in `folder`; None when it has not ended. A broken file is a ReskerasError (status 1)."""
    path = folder / OUTCOME_FILE
    try:
        if not path.exists():
            return None
        told = json.loads(path.read_text(encoding="utf-8"))
        return Outcome(**{**told, "figures": numbers(told.get("figures", {}))})
    except (ValueError, TypeError, AttributeError) as error:
        raise failure(f"tune: {path} is broken: {error}") from error
