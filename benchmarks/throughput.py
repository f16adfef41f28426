"""Images per second in training and inference: reskeras, stock Keras, keras.applications and PyTorch, in turns."""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.interleave import Timing, race
from benchmarks.results import publish

STOCK = "stock Keras float32"
COMPILED = "PyTorch bfloat16, torch.compile"
CONTENDERS = {
    "reskeras bfloat16": ("reskeras", "bfloat16"),
    "reskeras float32": ("reskeras", "float32"),
    STOCK: ("stock", "float32"),
    "stock Keras bfloat16": ("stock", "bfloat16"),
    "PyTorch bfloat16": ("torch", "bfloat16"),
    COMPILED: ("torch", "bfloat16"),
    "PyTorch float32": ("torch", "float32"),
    "keras.applications float32": ("applications", "float32"),
}
# network: batch, steps a turn in training and in inference
NETWORKS = {"cifar-resnet-20": (128, 8, 24), "cifar-resnet-110": (128, 2, 6), "resnet-50": (32, 1, 2)}
AT_ONCE = 5  # processes in memory together


def measured(network: str, task: str, repetitions: int) -> list[list[Any]]:
    """Rows of the table for one network and task; each group of contenders races with stock Keras among it."""
    batch, train_steps, infer_steps = NETWORKS[network]
    steps = train_steps if task == "training" else infer_steps
    names = [name for name in CONTENDERS if name != STOCK and (network == "resnet-50" or "applications" not in name)]
    facts = {
        name: {"library": library, "network": network, "precision": precision, "task": task, "batch": batch}
        for name, (library, precision) in CONTENDERS.items()
    }
    facts[COMPILED]["compiled"] = True
    rows = {}
    # who is compared directly shares a group: ours in bf16 with PyTorch's
    names.sort(key=lambda name: "bfloat16" not in name)
    for start in range(0, len(names), AT_ONCE - 1):
        group = [*names[start : start + AT_ONCE - 1], STOCK]
        timings = race({name: facts[name] for name in group}, steps, repetitions)
        for name, timing in timings.items():
            rows.setdefault(name, row(network, task, batch, timing, timings[STOCK], timings.get("PyTorch bfloat16")))
    return [rows[name] for name in CONTENDERS if name in rows]


def row(network: str, task: str, batch: int, timing: Timing, stock: Timing, torch: Timing | None) -> list[Any]:
    """One line: images per second (median, and from slowest to fastest repetition) and ratios."""
    return [
        network,
        task,
        batch,
        timing.name,
        *timing.rates(batch, 1),
        f"{timing.times_as_fast(stock):.2f}",
        f"{timing.times_as_fast(torch):.2f}" if torch else "",
    ]


def main() -> None:
    """Race all, or the networks and the task that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--tasks", nargs="+", default=["training", "inference"], choices=["training", "inference"])
    parser.add_argument("--repetitions", type=int, default=7)
    options = parser.parse_args()
    rows = [
        line
        for network in options.networks
        for task in options.tasks
        for line in measured(network, task, options.repetitions)
    ]
    columns = [
        "network",
        "task",
        "batch",
        "contender",
        "images/s",
        "slowest to fastest",
        "times stock Keras float32",
        "times PyTorch bfloat16",
    ]
    publish(
        "throughput",
        "Throughput",
        columns,
        rows,
        note=f"{options.repetitions} rounds in turns, at most {AT_ONCE} processes; ratios are medians of rounds.",
    )


if __name__ == "__main__":
    main()
