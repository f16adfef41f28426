"""Build, first step, later steps and peak memory against depth, in every form."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

from benchmarks.results import ROOT, publish

DEPTHS = (20, 56, 110, 302, 602, 1202)
FORMS = {"unrolled": ("unrolled", False), "scanned": ("scanned", False), "scanned, recomputed": ("scanned", True)}
BATCH, LATER = 32, 4


def measured(depth: int, form: str, recompute: bool, precision: str) -> dict[str, float]:
    """Seconds to build, of the first step and of a later one (median), and the peak of resident memory in GB."""
    import numpy as np
    import tensorflow as tf

    import reskeras
    import reskeras.engine
    from reskeras.recipes.recipe import recipe
    from reskeras.tasks.classification.subject import compiled

    random = np.random.default_rng(0)
    images = tf.constant(random.normal(size=(BATCH, 32, 32, 3)), tf.float32)
    labels = tf.constant(random.integers(0, 10, BATCH))
    plan = reskeras.plan(family="cifar", depth=depth)
    began = time.perf_counter()
    model = compiled(
        plan,
        "net",
        recipe("step-cifar", form=form, recompute=recompute, precision=precision, learning_rate=0.001),
        steps=1,
    )
    built, steps = time.perf_counter(), []
    for _ in range(1 + LATER):
        start = time.perf_counter()
        model.train_on_batch(images, labels)
        steps.append(time.perf_counter() - start)
    return {
        "build": built - began,
        "first": steps[0],
        "later": sorted(steps[1:])[LATER // 2],
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


def main() -> None:
    """Each depth and form in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depths", nargs="+", type=int, default=list(DEPTHS))
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--one", help="Measure one, told as JSON, in this process.")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(**json.loads(options.one))))
        return
    points = []
    for depth in options.depths:
        for name in options.forms:
            form, recompute = FORMS[name]
            facts = {"depth": depth, "form": form, "recompute": recompute, "precision": options.precision}
            command = [sys.executable, "-m", "benchmarks.depth", "--one", json.dumps(facts)]
            told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
            points.append({"depth": depth, "form": name, **json.loads(told.splitlines()[-1])})
    rows = [
        [
            point["depth"],
            point["form"],
            *(f"{point[key]:.2f}" for key in ("build", "first", "later", "memory")),
            f"{point['build'] + point['first'] - point['later']:.2f}",
        ]
        for point in points
    ]
    columns = ["layers", "form", "build s", "first step s", "later step s", "peak GB", "start-up s"]
    note = (
        f"cifar-resnet at batch {BATCH}, precision {options.precision}; start-up is build and first step less a "
        "later step; memory is the whole process's, Python and TensorFlow included."
    )
    publish("depth", "Depth", columns, rows, note, points=points)


if __name__ == "__main__":
    main()
