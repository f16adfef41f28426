"""Contenders in processes of their own that take turns, so that a slow minute of the machine slows them all alike."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from benchmarks.results import ROOT


@dataclass(frozen=True)
class Timing:
    """Seconds a step of one contender, one entry for each repetition, in the order they were taken; what its process
    said of its start, and the most memory that it took, Python and libraries included, in GB."""

    name: str
    seconds: tuple[float, ...]
    start: dict[str, float]
    memory: float

    @property
    def median(self) -> float:
        """Median seconds a step."""
        return statistics.median(self.seconds)

    def rates(self, batch: int, places: int) -> tuple[str, str]:
        """Images per second in steps of `batch`, to `places`: the median, and from the slowest to the fastest
        repetition."""
        shown = [f"{batch / seconds:.{places}f}" for seconds in (self.median, max(self.seconds), min(self.seconds))]
        return shown[0], f"{shown[1]} to {shown[2]}"

    def times_as_fast(self, other: Timing) -> float:
        """Median over repetitions of the other's time by ours, both from the same repetition."""
        return statistics.median(theirs / ours for ours, theirs in zip(self.seconds, other.seconds, strict=True))


class Contender:
    """A process of `module` that runs steps when told to and sleeps otherwise (`workers.serve`)."""

    def __init__(self, name: str, facts: dict[str, Any], module: str):
        self.name = name
        self.seconds: list[float] = []
        command = [sys.executable, "-m", module, json.dumps(facts)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.start: dict[str, float] = self._answer()

    def run(self, steps: int) -> None:
        """Note the seconds a step."""
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        self.seconds.append(self._answer() / steps)

    def timing(self) -> Timing:
        """End the process."""
        self.process.stdin.close()
        return Timing(self.name, tuple(self.seconds), self.start, self._answer())

    def stop(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.wait()

    def _answer(self) -> Any:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended:\n{self.process.stderr.read()[-2000:]}")
        return json.loads(line)


def race(
    contenders: dict[str, dict[str, Any]], steps: int, repetitions: int, module: str = "benchmarks.workers"
) -> dict[str, Timing]:
    """Seconds a step of each contender: `repetitions` rounds in which each runs `steps` steps in turn. They start one
    after the other."""
    running: list[Contender] = []
    try:
        for name, facts in contenders.items():
            running.append(Contender(name, facts, module))
        for turn in range(repetitions):
            first = turn % len(running)  # nobody is always first
            for contender in running[first:] + running[:first]:
                contender.run(steps)
        return {contender.name: contender.timing() for contender in running}
    finally:
        for contender in running:
            contender.stop()
