"""Float32 artefacts over the space of networks, with calibrated statistics: each is the model to 1e-4."""

import pytest

import reskeras
from reskeras.data.registry import open_source
from reskeras.evaluation.statistics import recalibrate
from reskeras.graph.load import save_model
from reskeras.runs import MODEL_FILE
from reskeras.tasks.classification.job import ClassifierJob

SMALL = {"family": "cifar", "stages": [2, 1], "input_shape": [16, 16, 1]}
NETWORKS = {
    **{
        order: {**SMALL, "order": order}
        for order in ("original", "bn_after_add", "relu_before_add", "relu_preact", "full_preact")
    },
    **{skip: {**SMALL, "skip": skip} for skip in ("scale", "exclusive_gate", "shortcut_gate", "conv1x1", "dropout")},
    "plain": {**SMALL, "shortcut": "none"},
    "bottleneck": {**SMALL, "block": "bottleneck"},
    "imagenet bottleneck": {"depth": 50, "input_shape": [64, 64, 1]},
    "110 layers": {"family": "cifar", "depth": 110, "input_shape": [16, 16, 1]},
}
DEEPEST = {"family": "cifar", "depth": 1001, "block": "bottleneck", "order": "full_preact", "input_shape": [16, 16, 1]}


def calibrated(fields, path, images):
    """A run of a fresh network whose statistics are those of digits."""
    job = ClassifierJob(reskeras.network(**fields), reskeras.recipe("quick"), open_source("digits", None))
    preprocessing = job.preprocessing()
    job._begin(path, preprocessing, {})
    model = reskeras.build(job.fitted, seed=1)
    recalibrate(model, job.source.train, preprocessing, images, batch_size=images)
    save_model(model, path / MODEL_FILE)
    return reskeras.Run(path)


def check(run, name):
    for proof in run.export("serving", "tflite", timing=False):
        print(f"\n{name:20} {proof.kind:8} {proof.difference:.1e} {proof.agreement:.2%}")
        assert proof.difference < 1e-4
        assert proof.agreement == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_float_artefacts_are_the_model(name, tmp_path):
    check(calibrated(NETWORKS[name], tmp_path / "run", 64), name)


@pytest.mark.slow
def test_a_scanned_run_in_bf16_is_exported_in_float32(tmp_path):
    run = reskeras.train(
        reskeras.network(family="cifar", depth=56, input_shape=[16, 16, 1]),
        epochs=1,
        form="scanned",
        precision="mixed_bfloat16",
        out=tmp_path / "run",
    )
    assert run.folder.provenance()["form"] == "scanned"
    check(run, "scanned bf16")


@pytest.mark.slow
def test_1001_trained_layers_are_the_model(tmp_path):
    """An epoch of training first: a fresh network of this depth answers rounding 10,000 times as loudly."""
    run = reskeras.train(reskeras.network(**DEEPEST), epochs=1, form="scanned", out=tmp_path / "run")
    run.evaluate(recalibrate=256, save=True)
    check(run, "1001 layers")
