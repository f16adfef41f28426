"""How fast artefacts answer on this machine and what memory they need: measured in processes of their own, in turns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from reskeras import artefacts
from reskeras.export import stopwatch
from reskeras.export.aside import Crash, inputs_aside, run_aside
from reskeras.export.runtimes import name_of, opened_file

MOST_THREADS, MOST_TURNS = 256, 100
WITHIN = 600.0  # seconds, for one turn


@dataclass(frozen=True)
class Timing:
    """One batch size: median and 99th percentile of the latency in milliseconds, images per second at the median."""

    batch: int
    p50_ms: float
    p99_ms: float
    images_per_second: float

    @classmethod
    def of(cls, batch: int, laps: Sequence[float]) -> Timing:
        """Of what each run took, in seconds."""
        middle, late = np.percentile(laps, [50, 99])
        return cls(batch, float(middle * 1000), float(late * 1000), float(batch / middle))

    @property
    def rate(self) -> str:
        """Images per second as printed; detectors may have less than one."""
        return f"{self.images_per_second:,.{0 if self.images_per_second >= 9.5 else 2}f}"


@dataclass(frozen=True)
class Speed:
    """An artefact in its runtime on this machine, computed in `precision` by `threads` threads.

    `loading_ms`: opening it, the runtime's own import left out; the median of `turns`. `memory`: bytes by which the
    process grew, at most, the runtime included; None where the system does not tell. `failure` says why it could not
    be measured, as a clause whose subject is the artefact.
    """

    threads: int
    turns: int
    timings: tuple[Timing, ...] = ()
    precision: str = ""
    loading_ms: float = 0.0
    memory: int | None = None
    failure: str = ""

    def at(self, batch: int) -> Timing | None:
        """The timing of one batch size."""
        return next((each for each in self.timings if each.batch == batch), None)

    @property
    def fastest(self) -> Timing | None:
        """That of the batch with the highest throughput."""
        return max(self.timings, key=lambda each: each.images_per_second, default=None)


@dataclass(frozen=True)
class Asked:
    """What is measured: an `artefact` and images for it, by name of the input, in batches of these sizes."""

    artefact: Path
    inputs: Mapping[str, np.ndarray]
    batches: Sequence[int]


def speeds(
    asked: Mapping[str, Asked], threads: int, turns: int, tell: Callable[[str], None] = lambda note: None
) -> dict[str, Speed]:
    """The speeds of artefacts by name, measured `turns` times each, one artefact after the other, so that what else the
    machine does in the meantime is the same for all. `tell` gets a note of each turn."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in asked}
    failures: dict[str, str] = {}
    with ExitStack() as kept:
        folders = {name: kept.enter_context(inputs_aside(each.inputs)) for name, each in asked.items()}
        for turn in range(turns):
            tell(f"timing, turn {turn + 1} of {turns}")
            for name in [each for each in asked if each not in failures]:
                try:
                    found[name].append(_turn(asked[name], folders[name], threads))
                except Crash as error:
                    failures[name] = str(error)
    return {
        name: Speed(threads, turns, failure=failures[name]) if name in failures else _joined(found[name], threads)
        for name in asked
    }


def _turn(asked: Asked, folder: Path, threads: int) -> dict[str, Any]:
    file, batches = opened_file(asked.artefact), ",".join(map(str, asked.batches))
    arguments: list[str | Path] = [file, "", str(threads), str(artefacts.SECONDS), batches, folder]
    told: dict[str, Any] = json.loads(run_aside(stopwatch.__file__, arguments, name_of(file), WITHIN))
    return told


def _joined(turns: Sequence[Mapping[str, Any]], threads: int) -> Speed:
    """One speed of several turns: percentiles of all laps, the median loading, the highest memory."""
    laps = {int(batch): [lap for turn in turns for lap in turn["laps"][batch]] for batch in turns[0]["laps"]}
    timings = tuple(Timing.of(batch, each) for batch, each in laps.items())
    grown = [turn["memory"] for turn in turns if turn["memory"] is not None]
    loading = median(turn["loading"] for turn in turns) * 1000
    return Speed(threads, len(turns), timings, turns[0]["precision"], loading, max(grown, default=None))
