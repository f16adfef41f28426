"""Epochs with evaluation against the sum of their steps: what a training waits for besides its steps."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.results import ROOT, add_data_options, publish

STEPS, EPOCHS, EVALUATED = 20, 6, 1280  # the first epoch traces and is left out


def measured(who: str, network: str, data: str, data_dir: str | None, batch: int) -> tuple[float, float]:
    """(seconds of five epochs, seconds of these inside training and evaluation steps)."""
    import keras

    import reskeras
    import reskeras.engine
    from reskeras.data.registry import open_source

    class Clock(keras.callbacks.Callback):
        """Adds up what is inside steps, and notes when each epoch begins."""

        def __init__(self):
            super().__init__()
            self.inside, self.began, self.marks = 0.0, 0.0, []

        def on_train_batch_begin(self, batch, logs=None):
            self.began = time.perf_counter()

        def on_train_batch_end(self, batch, logs=None):
            self.inside += time.perf_counter() - self.began

        on_test_batch_begin, on_test_batch_end = on_train_batch_begin, on_train_batch_end

        def on_epoch_begin(self, epoch, logs=None):
            self.marks.append((time.perf_counter(), self.inside))

        def on_train_end(self, logs=None):
            self.on_epoch_begin(-1)

    clock = Clock()
    source = open_source(data, data_dir)
    source = replace(
        source,
        train=source.train.part("train", np.arange(STEPS * batch)),
        test=source.test.part("test", np.arange(min(EVALUATED, source.test.count))),
    )
    train = _ours if who == "reskeras" else _stock
    train(reskeras.network(network, input_shape=(32, 32, source.channels)), source, batch, clock)
    (start, before), (end, inside) = clock.marks[1], clock.marks[-1]
    return end - start, inside - before


def _ours(spec, source, batch: int, clock) -> None:
    from reskeras.tasks.classification.subject import Classifier
    from reskeras.training.fit import FitOptions, fit

    plan, chosen, preprocessing = _prepared(spec, source, batch)
    from reskeras.runs import new_run

    with tempfile.TemporaryDirectory() as folder:
        with new_run(Path(folder) / "run", spec) as run:
            pass
        run = replace(run, path=Path(folder) / "run")
        fit(Classifier(plan, "net", source, preprocessing), chosen, run, options=FitOptions(callbacks=[clock]))


def _prepared(spec, source, batch: int):
    from reskeras.data.preprocessing import Preprocessing
    from reskeras.recipes.recipe import recipe

    chosen = recipe("step-cifar", epochs=EPOCHS, batch_size=batch)
    return spec.lower(), chosen, Preprocessing.fit(source.train, 32, 32, source.channels, chosen.normalise)


def _stock(spec, source, batch: int, clock) -> None:
    """A tf.data pipeline and `fit` as the tutorials write them."""
    import keras
    import tensorflow as tf

    from benchmarks.networks.stock import build

    _, _, preprocessing = _prepared(spec, source, batch)

    def batches(split, augment: bool):
        data = tf.data.Dataset.range(split.count)
        data = data.shuffle(split.count) if augment else data
        data = data.map(split.example, tf.data.AUTOTUNE)
        data = data.map(
            lambda image, label: (tf.image.resize(image, (32, 32)) - preprocessing.mean, label), tf.data.AUTOTUNE
        )
        if augment:
            data = data.map(
                lambda image, label: (
                    tf.image.random_flip_left_right(
                        tf.image.random_crop(tf.pad(image, [[4, 4], [4, 4], [0, 0]]), (32, 32, source.channels))
                    ),
                    label,
                ),
                tf.data.AUTOTUNE,
            )
        return data.batch(batch).prefetch(tf.data.AUTOTUNE)

    model = build(spec_name(spec), source.channels)
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(
        batches(source.train, True),
        epochs=EPOCHS,
        validation_data=batches(source.test, False),
        verbose=0,
        callbacks=[clock],
    )


def spec_name(spec) -> str:
    """The catalogue's name of a spec."""
    from reskeras.networks.catalog import name_of

    return name_of(spec)


def main() -> None:
    """Time both in processes of their own, in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_options(parser)
    parser.add_argument("--network", default="cifar-resnet-20")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--one", choices=["reskeras", "stock"], help="Measure one contender once, in this process.")
    options = parser.parse_args()
    if options.one:
        print("measured", *measured(options.one, options.network, options.data, options.data_dir, options.batch))
        return
    rows = []
    for turn in range(options.repetitions):
        for who in ("reskeras", "stock"):
            command = [sys.executable, "-m", "benchmarks.epochs", *sys.argv[1:], "--one", who]
            told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
            whole, inside = map(float, told[-2:])
            rows.append([options.network, who, turn + 1, f"{whole:.2f}", f"{inside:.2f}", f"{whole / inside:.3f}"])
    rows.sort(key=lambda row: row[1])
    columns = ["network", "contender", "repetition", "seconds", "inside steps", "ratio"]
    note = (
        f"Five epochs of {STEPS} steps of {options.batch} images of {options.data}, each with an evaluation on "
        f"{EVALUATED} images at most; reskeras also writes metrics and two models an epoch."
    )
    publish("epochs", "Epochs with evaluation", columns, rows, note)


if __name__ == "__main__":
    main()
