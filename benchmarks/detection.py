"""Images per second of detectors in training and evaluation: ours with FPN and C4, and torchvision's, in turns."""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.detectors import SIZE
from benchmarks.interleave import race
from benchmarks.results import publish

THEIRS = "torchvision FPN"
CONTENDERS = ("reskeras FPN", THEIRS, "reskeras C4")  # in memory together
COLUMNS = ("task", "batch", "contender", "images/s", "slowest to fastest", f"times {THEIRS}")


def measured(task: str, batch: int, precision: str, repetitions: int) -> list[list[Any]]:
    """A row for each contender."""
    facts = {"library": "detectors", "precision": precision, "task": task, "batch": batch}
    timings = race({name: {**facts, "detector": name} for name in CONTENDERS}, 1, repetitions)
    return [
        [task, batch, f"{name} {precision}", *timing.rates(batch, 2), f"{timing.times_as_fast(timings[THEIRS]):.2f}"]
        for name, timing in timings.items()
    ]


def main() -> None:
    """Race all, or the tasks, batches and precisions that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=["evaluation", "training"], choices=["evaluation", "training"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    rows = [
        row
        for task in options.tasks
        for batch in options.batches
        for precision in options.precisions
        for row in measured(task, batch, precision, options.repetitions)
    ]
    note = (
        f"{options.repetitions} rounds in turns; ratios are medians of rounds. All on resnet-50, images of "
        f"{SIZE[0]}x{SIZE[1]} pixels. FPN: proposals and regions as many as torchvision has by default; C4: as many as "
        "ours has."
    )
    publish("detection", "Detectors", COLUMNS, rows, note=note)


if __name__ == "__main__":
    main()
