"""The input pipeline alone, on one thread: decode, pad, crop, flip and normalise, in images per second."""

from __future__ import annotations

import argparse
import os
import statistics
import time

from benchmarks.results import add_data_options, publish

PASSES, BATCHES = 5, 60


def main() -> None:
    """Run the training pipeline on one core, and print images per second of several passes."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_options(parser)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before TensorFlow counts the cores
    from reskeras.data.pipeline import training_batches
    from reskeras.data.preprocessing import Preprocessing
    from reskeras.data.registry import open_source
    from reskeras.data.training_batch import TrainingBatch
    from reskeras.recipes.recipe import recipe

    chosen, source = recipe("step-cifar"), open_source(options.data, options.data_dir)
    preprocessing = Preprocessing.fit(source.train, 32, 32, source.channels, chosen.normalise)
    batch = TrainingBatch(source.train, preprocessing, chosen.augment, mirror=source.mirror, batch_size=options.batch)
    batches = iter(training_batches(batch, 0, range(1000)))
    rates = []
    for _ in range(PASSES + 1):
        began = time.perf_counter()
        for _ in range(BATCHES):
            next(batches)
        rates.append(BATCHES * options.batch / (time.perf_counter() - began))
    rates = rates[1:]  # the first pass traces
    publish(
        "pipeline",
        "Input pipeline on one core",
        ["data", "batch", "images/s", "slowest to fastest"],
        [[source.label, options.batch, f"{statistics.median(rates):.0f}", f"{min(rates):.0f} to {max(rates):.0f}"]],
    )


if __name__ == "__main__":
    main()
