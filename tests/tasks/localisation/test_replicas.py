"""Localisers and refiners learn the same on two replicas as on one, and in both forms of a network."""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.graph.compile import Context
from reskeras.graph.weights import read, write
from reskeras.networks.localiser_plan import lower_localiser
from reskeras.networks.refiner_plan import lower_refiner
from reskeras.tasks.localisation import model as localisers
from reskeras.tasks.refinement import model as refiners
from tests.tasks.localisation.shapes import REFINING, SHORT, SPEC, refine, train
from tests.training.test_strategy import assert_equal_but_for_rounding

ROOT = Path(__file__).parents[3]
DEEP = {**SPEC["trunk"], "stages": [{"units": 3, "width": 16}, {"units": 3, "width": 16}]}


def localiser_and_batch(generator):
    plan = lower_localiser(reskeras.LocaliserSpec.model_validate({**SPEC, "trunk": DEEP, "classes": 2}))
    inputs = {
        "image": tf.constant(generator.normal(0, 1, (2, *plan.input_shape)), tf.float32),
        "window": tf.constant([[0.0, 0, *plan.canvas]] * 2),
        "boxes": tf.constant([[[4.0, 6, 18, 16]], [[20.0, 22, 33, 34]]]),
        "labels": tf.constant([[1], [0]]),
        "seed": tf.constant([[1, 2], [3, 4]]),
    }
    return localisers.training_model, plan, inputs


def refiner_and_batch(generator):
    plan = lower_refiner(reskeras.RefinerSpec.model_validate({"judge": DEEP, "classes": 2}))
    inputs = {
        "image": tf.constant(generator.normal(0, 1, (3, *plan.input_shape)), tf.float32),
        "labels": tf.constant([1, -1, 0]),
        "deltas": tf.constant(generator.normal(0, 1, (3, 4)), tf.float32),
    }
    return refiners.training_model, plan, inputs


@pytest.mark.parametrize("made", [localiser_and_batch, refiner_and_batch])
def test_form_changes_nothing_but_rounding(made):
    build, plan, inputs = made(np.random.default_rng(0))
    unrolled, scanned = (build(plan, "t", 1, Context(seed=0, form=form)) for form in ("unrolled", "scanned"))
    write(scanned, read(unrolled))
    losses, gradients = [], []
    for model in (unrolled, scanned):
        with tf.GradientTape() as tape:
            found = model(inputs, training=True)
            total = tf.add_n([tf.reduce_mean(values) for values in found.values()])
        losses.append({name: values.numpy() for name, values in found.items()})
        kernel = next(each for each in model.trainable_variables if "stem" in each.path and "kernel" in each.path)
        gradients.append(tape.gradient(total, kernel.value).numpy())
    for name, values in losses[0].items():
        np.testing.assert_allclose(losses[1][name], values, rtol=1e-4)
    assert np.abs(gradients[0]).max() > 1e-5
    np.testing.assert_allclose(gradients[1], gradients[0], atol=1e-3 * np.abs(gradients[0]).max())


@pytest.mark.slow
def test_scanned_they_train(data, tmp_path):
    spec, short = {**SPEC, "trunk": DEEP}, {"epochs": 1, "form": "scanned", "recompute": True}
    first = train(data, spec, out=tmp_path / "first", **{**SHORT, **short})
    second = refine(data, first, {"judge": DEEP, "count": 8}, out=tmp_path / "second", **{**REFINING, **short})
    for run in (first, second):
        assert np.isfinite(run.folder.metrics()[-1]["loss"]) and run.evaluate().images == 8


@pytest.mark.slow
def test_two_replicas_equal_one(data, tmp_path):
    for kind, devices in product(("localiser", "refiner"), ("1", "2")):
        done = subprocess.run(
            [sys.executable, "-m", "tests.tasks.localisation.replicas", tmp_path, data, kind, devices],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        )
        assert done.returncode == 0, done.stderr
    for kind in ("localiser", "refiner"):
        one, two = (tmp_path / f"{kind}-{devices}" for devices in (1, 2))
        ours, theirs = (reskeras.Run(path).folder.metrics()[0] for path in (two, one))
        for name in ("loss", "objectness", "boxes"):
            assert ours[name] == pytest.approx(theirs[name], rel=5e-3), (kind, name)
        assert_equal_but_for_rounding(two, one)
