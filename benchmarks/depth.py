"""Build, first step, later steps and peak memory against depth; the forms of a network take turns."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from benchmarks.interleave import Timing, race
from benchmarks.results import publish
from benchmarks.workers import Steps, batch_of, serve

DEPTHS = (20, 56, 110, 302, 602, 1202, 10_004)
FORMS = {"unrolled": ("unrolled", False), "scanned": ("scanned", False), "scanned, recomputed": ("scanned", True)}
DEEP = 1202  # above it only recomputed, in batches of DEEP_BATCH
BATCH, DEEP_BATCH = 32, 16


def started(facts: dict[str, Any]) -> tuple[Steps, dict[str, float]]:
    """Steps of training a network in the form that `facts` say, and the seconds of its build and its first step."""
    import tensorflow as tf

    import reskeras
    import reskeras.engine
    from reskeras.recipes.recipe import recipe
    from reskeras.tasks.classification.subject import compiled

    images, labels = map(tf.constant, batch_of("", facts.pop("batch")))
    plan = reskeras.plan(family="cifar", depth=facts.pop("depth"))
    began = time.perf_counter()
    model = compiled(plan, "net", recipe("step-cifar", learning_rate=0.001, **facts), steps=1)
    built = time.perf_counter() - began

    def run(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            model.train_on_batch(images, labels)
        return time.perf_counter() - began

    start = {"build": built, "first": run(1)}
    run(1)
    return run, start


def measured(depth: int, forms: list[str], precision: str, rounds: int) -> list[dict[str, Any]]:
    """A point for each form that goes this deep, timed in turns."""
    batch = DEEP_BATCH if depth > DEEP else BATCH
    facts = {
        name: {"depth": depth, "batch": batch, "form": form, "recompute": recompute, "precision": precision}
        for name, (form, recompute) in FORMS.items()
        if name in forms and (recompute or depth <= DEEP)
    }
    timings = race(facts, max(1, 200 // depth), rounds, "benchmarks.depth")
    return [_point(depth, batch, timing, timings.get("unrolled")) for timing in timings.values()]


def _point(depth: int, batch: int, timing: Timing, unrolled: Timing | None) -> dict[str, Any]:
    times = 1 / timing.times_as_fast(unrolled) if unrolled else None
    return {
        "depth": depth,
        "batch": batch,
        "form": timing.name,
        **timing.start,
        "later": timing.median,
        "times": times,
        "memory": timing.memory,
    }


def main() -> None:
    """Each depth in turn, each form in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depths", nargs="+", type=int, default=list(DEPTHS))
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    points = [
        point for depth in options.depths for point in measured(depth, options.forms, options.precision, options.rounds)
    ]
    rows = [
        [
            point["depth"],
            point["form"],
            point["batch"],
            *(f"{point[key]:.2f}" for key in ("build", "first", "later")),
            f"{point['times']:.2f}" if point["times"] else "",
            f"{point['memory']:.2f}",
            f"{point['build'] + point['first'] - point['later']:.2f}",
        ]
        for point in points
    ]
    columns = ["layers", "form", "batch", "build s", "first step s", "step s", "times as long", "peak GB", "start-up s"]
    note = (
        f"cifar-resnet, precision {options.precision}. A step is the median of {options.rounds} rounds in which the "
        "forms take turns, and how many times as long as the unrolled form's it is the median of the rounds' ratios. "
        "Start-up is build and first step less a later step; memory is the whole process's, Python and TensorFlow "
        "included. Unrolled and with stored activations networks are measured up to 1,202 layers."
    )
    publish("depth", "Depth", columns, rows, note, points=points)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1].startswith("{"):
        serve(started)
    else:
        main()
