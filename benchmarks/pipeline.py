"""The input pipeline alone, on one core: CPU time for an image that is read, decoded, cropped and its numbers drawn."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.photos import make_photos
from benchmarks.results import add_data_options, publish

PASSES, IMAGES, SMALL = 5, 256, 7_680  # images of a pass: photographs, small images
PHOTOS, BATCH, SIDE = 512, 64, 224
WINDOW = {"random_resized_crop": {}, "flip": False}


def main() -> None:
    """Measure recipes on photographs as they are and prepared, and the recipe of small images; print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_options(parser)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before TensorFlow counts the cores
    from reskeras.data.prepare import prepare_data
    from reskeras.data.registry import open_source
    from reskeras.recipes.recipe import recipe

    recipes = {name: recipe(name) for name in ("paper-imagenet", "modern-imagenet")}
    recipes["a window alone"] = recipe("quick", augment=WINDOW)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        typical = make_photos(Path(place) / "photos", PHOTOS)
        prepare_data(f"folder:{place}/photos", place, name="smaller")
        sources = {
            "photographs": open_source(f"folder:{place}/photos"),
            "prepared, 256": open_source("tfds:smaller", place),
        }
        for label, source in sources.items():
            for name, chosen in recipes.items():
                rows.append([label, name, SIDE, BATCH, *_measured(source, chosen, SIDE, BATCH, IMAGES)])
    small, chosen = open_source(options.data, options.data_dir), recipe("step-cifar")
    rows.append([small.label, "step-cifar", 32, options.batch, *_measured(small, chosen, 32, options.batch, SMALL)])
    publish(
        "pipeline",
        "Input pipeline on one core",
        ["data", "recipe", "pixels", "batch", "CPU ms an image", "slowest to fastest", "images/s"],
        rows,
        f"Photographs: {PHOTOS} JPEGs of ImageNet's sizes (mostly 500 pixels wide; median {typical / 1000:.0f} KB), "
        "enlarged parts of scikit-learn's two. Normalising, flips and mixing are left to the device.",
    )


def _measured(source: Any, chosen: Any, side: int, size: int, images: int) -> tuple[str, str, str]:
    """CPU milliseconds an image, their range, and images per second."""
    from reskeras.data.pipeline import training_batches
    from reskeras.data.preprocessing import Preprocessing
    from reskeras.data.training_batch import TrainingBatch

    preprocessing = Preprocessing.fit(source.train.part("train", range(8)), side, side, source.channels, "scale")
    batch = TrainingBatch(
        source.train, preprocessing, chosen.augment, mirror=source.mirror, batch_size=size, classes=len(source.classes)
    )
    batches = iter(training_batches(batch, 0, range(1000)))
    costs, rates, steps = [], [], max(images // size, 1)
    for _ in range(PASSES + 1):
        began, spent = time.perf_counter(), time.process_time()
        for _ in range(steps):
            next(batches)
        costs.append(1000 * (time.process_time() - spent) / (steps * size))
        rates.append(steps * size / (time.perf_counter() - began))
    costs, rates = costs[1:], rates[1:]  # the first pass traces
    return (
        f"{statistics.median(costs):.3f}",
        f"{max(costs):.3f} to {min(costs):.3f}",
        f"{statistics.median(rates):.0f}",
    )


if __name__ == "__main__":
    main()
