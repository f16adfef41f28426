"""Latency and throughput of artefacts on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

BATCHES = (1, 32)
WARMING = 3
SECONDS, LEAST, MOST = 1.0, 10, 300  # per batch size: duration, and bounds on the number of runs


@dataclass(frozen=True)
class Timing:
    """One batch size: median and 99th percentile of the latency in milliseconds, images per second at the median."""

    batch: int
    p50_ms: float
    p99_ms: float
    images_per_second: float

    @property
    def rate(self) -> str:
        """Images per second as printed; detectors may have less than one."""
        return f"{self.images_per_second:,.{0 if self.images_per_second >= 9.5 else 2}f}"

    def as_dict(self) -> dict[str, float]:
        """Plain data for JSON."""
        return asdict(self)


def timed(ask: Callable[[np.ndarray], np.ndarray], images: np.ndarray, batch: int) -> Timing:
    """Time `ask` on batches of `images` repeatedly for SECONDS, after WARMING warm-up runs."""
    chosen = images[np.arange(batch) % len(images)]
    for _ in range(WARMING):
        ask(chosen)
    times: list[float] = []
    until = time.perf_counter() + SECONDS
    while len(times) < LEAST or (time.perf_counter() < until and len(times) < MOST):
        began = time.perf_counter()
        ask(chosen)
        times.append(time.perf_counter() - began)
    middle, late = np.percentile(times, [50, 99])
    return Timing(batch, float(middle * 1000), float(late * 1000), float(batch / middle))
