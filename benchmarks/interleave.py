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
    """Seconds a step of one contender, one entry for each repetition, in the order they were taken."""

    name: str
    seconds: tuple[float, ...]

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
    """A worker process that runs steps when told to and sleeps otherwise."""

    def __init__(self, name: str, facts: dict[str, Any]):
        self.name = name
        command = [sys.executable, "-m", "benchmarks.workers", json.dumps(facts)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{name} did not start:\n{self.process.stderr.read()[-2000:]}")

    def run(self, steps: int) -> float:
        """Seconds a step."""
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline()) / steps

    def stop(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def race(contenders: dict[str, dict[str, Any]], steps: int, repetitions: int) -> dict[str, Timing]:
    """Seconds a step of each contender: `repetitions` rounds in which each runs `steps` steps in turn."""
    running: list[Contender] = []
    try:
        running += (Contender(name, facts) for name, facts in contenders.items())
        taken: dict[str, list[float]] = {contender.name: [] for contender in running}
        for turn in range(repetitions):
            first = turn % len(running)  # nobody is always first
            for contender in running[first:] + running[:first]:
                taken[contender.name].append(contender.run(steps))
    finally:
        for contender in running:
            contender.stop()
    return {name: Timing(name, tuple(seconds)) for name, seconds in taken.items()}
