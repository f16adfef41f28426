"""Median, mean and deviation of a measure over seeds."""

from __future__ import annotations

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Statistics:
    """Median, mean and sample standard deviation (0 for a single value) over `count` seeds."""

    median: float
    mean: float
    deviation: float
    count: int

    @classmethod
    def of(cls, values: list[float]) -> Statistics:
        """Statistics of at least one value."""
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(statistics.median(values), statistics.fmean(values), deviation, len(values))
