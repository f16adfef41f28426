"""How long an artefact takes to load and to answer, and what memory it needs. A script, run in a process of its own.

It is called with MODEL PRECISION THREADS SECONDS BATCHES and a folder of inputs as `runtimes` is, and writes JSON to
standard output. It imports nothing of reskeras.
"""

from __future__ import annotations

import importlib
import json
import runpy
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

MOST = 300  # runs with batches of one size
STATUS = Path("/proc/self/status")


def memory(field: str) -> int | None:
    """A figure of the process' resident memory in bytes: `VmRSS`, or `VmHWM` for the highest so far; None where the
    system does not tell."""
    if not STATUS.is_file():
        return None
    told = dict(line.split(":", 1) for line in STATUS.read_text().splitlines() if ":" in line)
    return int(told[field].split()[0]) * 1024


def laps(ask: Callable[[], Any], seconds: float) -> list[float]:
    """How many seconds each run of `ask` takes, after one to warm up: runs for about `seconds`, at least one and at
    most MOST."""
    ask()
    times: list[float] = []
    until = time.perf_counter() + seconds
    while not times or (time.perf_counter() < until and len(times) < MOST):
        began = time.perf_counter()
        ask()
        times.append(time.perf_counter() - began)
    return times


def measured(
    runtimes: dict[str, Any], model: str, precision: str, threads: str, seconds: str, batches: str, folder: str
) -> bytes:
    """The figures as JSON: `loading` in seconds, without the runtime's own import; `laps` by batch size; `memory`, what
    the process grew by at most, the runtime included."""
    path, inputs = Path(model), runtimes["inputs_in"](Path(folder))
    sizes = list(map(int, batches.split(",")))
    given = {size: {name: values[np.arange(size) % len(values)] for name, values in inputs.items()} for size in sizes}
    before = memory("VmRSS")
    importlib.import_module(runtimes["runtime_of"](path, precision).library)
    began = time.perf_counter()
    ask = runtimes["open_model"](path, precision, int(threads))
    loading = time.perf_counter() - began
    found = {size: laps(partial(ask, **each), float(seconds)) for size, each in given.items()}
    grown = None if before is None else (memory("VmHWM") or 0) - before
    told = {"loading": loading, "laps": found, "memory": grown, "precision": ask.precision}
    return json.dumps(told).encode()


if __name__ == "__main__":
    scripts = runpy.run_path(str(Path(__file__).with_name("runtimes.py")))
    scripts["reply"](lambda: measured(scripts, *sys.argv[1:]))
