"""Several replicas train the same network as one: shares of a batch, statistics, masked evaluation, refusals."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import reskeras
from reskeras.errors import ReskerasError
from reskeras.graph.weights import read
from reskeras.recipes.recipe import recipe
from reskeras.scaling.step import collectives
from reskeras.training.strategy import Replicas, open_replicas
from tests.training.replicas import NETWORK

ROOT = Path(__file__).parents[2]


def trained_on(out, strategy="one", devices=0, fields="{}"):
    return in_process("-m", "tests.training.replicas", str(out), strategy, str(devices), fields)


def in_process(*words):
    return subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )


def weights(path):
    return np.concatenate([weight.ravel() for weight in reskeras.Run(path).model().get_weights()])


def assert_equal_but_for_rounding(ours, theirs):
    """After an epoch, in which a rounding may turn a ReLU over: the same training with and without oneDNN differs by up
    to 0.003 in 26 of these 2,626 weights, on processors whose kernels add in another order."""
    apart = np.abs(weights(ours) - weights(theirs))
    assert np.mean(apart > 2e-4) < 0.02 and apart.max() < 0.01


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "run"
    done = trained_on(out)
    assert done.returncode == 0, done.stderr
    return reskeras.Run(out)


SEVERAL = """
import sys, reskeras
for units in (1, 2):
    net = reskeras.network(family="cifar", stages=[units], width_factor=0.25)
    reskeras.train(net, "digits@40", out=f"{sys.argv[1]}/{units}", epochs=1, batch_size=20, devices=2)
"""


@pytest.mark.slow
def test_a_process_trains_one_network_after_the_other(tmp_path):
    done = in_process("-c", SEVERAL, str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert reskeras.Run(tmp_path / "2").folder.provenance()["replicas"] == 2


def test_two_replicas_with_common_statistics_equal_one(alone, tmp_path):
    done = trained_on(tmp_path / "two", "mirrored", 2, "{sync_bn: true}")
    assert done.returncode == 0, done.stderr
    assert_equal_but_for_rounding(tmp_path / "two", alone.path)
    ours, theirs = reskeras.Run(tmp_path / "two").folder.metrics()[0], alone.folder.metrics()[0]
    # 101 held-out images are watched in shares of 64 with padding: each counts once
    assert ours["val_accuracy"] == pytest.approx(theirs["val_accuracy"], abs=1e-6)
    assert ours["val_loss"] == pytest.approx(theirs["val_loss"], abs=1e-3)
    assert ours["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=1e-3)


@pytest.mark.sample(1)
@pytest.mark.parametrize("fields", ["{}", "{form: scanned, ema: 0.9, class_weights: balanced}"])
def test_statistics_are_equal_on_all_replicas(tmp_path, fields):
    done = trained_on(tmp_path / "two", "mirrored", 2, fields)
    assert done.returncode == 0, done.stderr
    assert "apart 0.0" in done.stdout
    run = reskeras.Run(tmp_path / "two")
    assert run.folder.provenance()["replicas"] == 2
    variances = [value for name, value in read(run.model()).items() if name.endswith("/moving_variance")]
    assert variances and all(np.all(value != 1.0) for value in variances)  # updated in each step


@pytest.mark.parametrize(
    "fields",
    [
        "network: {drop_path: 0.3}, clip_norm: 0.5",
        pytest.param("form: scanned, ema: 0.9, class_weights: balanced", marks=pytest.mark.slow),
        pytest.param("precision: mixed_float16", marks=pytest.mark.slow),
    ],
)
def test_xla_between_the_reductions_of_two_replicas_changes_rounding_alone(tmp_path, fields):
    for xla in ("false", "true"):
        done = trained_on(tmp_path / xla, "mirrored", 2, f"{{xla: {xla}, {fields}}}")
        assert done.returncode == 0, done.stderr
        assert "apart 0.0" in done.stdout
        assert ("Compiled cluster using XLA" in done.stderr) == (xla == "true")
    if "float16" not in fields:  # whose roundings are a hundred times as large
        assert_equal_but_for_rounding(tmp_path / "true", tmp_path / "false")
    ours, theirs = (reskeras.Run(tmp_path / xla).folder.metrics()[0] for xla in ("true", "false"))
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3)
    assert ours["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=1e-2)


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("strategy", "devices", "fields", "named"),
    [
        ("mirrored", 2, "{xla: true, sync_bn: true}", "xla: true cannot compile sync_bn over 2 replicas"),
        ("mirrored", 3, "{}", "batch_size: 64 cannot be split evenly over 3 replicas; use a multiple, such as 66"),
        ("mirrored", 2, "{accumulate: 2}", "accumulate: 2 works with one replica only"),
        ("mirrored", 2, "{sync_bn: true, form: scanned}", "sync_bn: needs form unrolled or auto"),
    ],
)
def test_what_replicas_cannot_do_is_refused(tmp_path, strategy, devices, fields, named):
    done = trained_on(tmp_path / "run", strategy, devices, fields)
    assert named in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "devices", "named"),
    [
        ("mirorred", None, "did you mean mirrored"),
        ("one", 2, "contradicts strategy one"),
        ("mirrored", 0, "should be at least 1"),
        ("multi-worker", None, "needs TF_CONFIG or Slurm"),
        ("mirrored", None, "this machine has no GPU; use --devices 2 for logical CPUs"),
    ],
)
def test_strategies_that_there_are_not_are_refused(name, devices, named, monkeypatch):
    for variable in ("TF_CONFIG", "SLURM_PROCID"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ReskerasError, match=named) as caught:
        open_replicas(name, devices)
    assert caught.value.status == 2


def test_accumulated_parts_train(tmp_path):
    run = reskeras.train(
        reskeras.network(family="cifar", stages=[1], input_shape=[8, 8, 1]),
        epochs=1,
        batch_size=64,
        accumulate=2,
        out=tmp_path / "run",
    )
    [row] = run.folder.metrics()
    assert row["gradient_norm"] > 0
    assert isinstance(open_replicas("one"), Replicas)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "common"),  # whether statistics are of all images, as one process has them
    [("{sync_bn: true}", True), ("{}", False), ("{form: scanned}", False), ("{xla: true}", False)],
)
def test_two_workers_end_with_the_same_weights_as_one_process(alone, tmp_path, fields, common):
    planned = collectives(reskeras.plan(**NETWORK), recipe(**yaml.safe_load(fields)), replicas=2, machines=2)
    assert common or planned.vectors == 2  # gradients, and all batch norms' statistics
    ports = "127.0.0.1:21731", "127.0.0.1:21732"
    running = []
    for index in range(2):
        config = json.dumps({"cluster": {"worker": ports}, "task": {"type": "worker", "index": index}})
        command = [sys.executable, "-m", "tests.training.replicas", str(tmp_path / "two"), "multi-worker", "0", fields]
        running.append(
            subprocess.Popen(
                command,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "TF_CONFIG": config, "CUDA_VISIBLE_DEVICES": "-1"},
            )
        )
    for worker in running:
        printed, errors = worker.communicate(timeout=300)
        assert worker.returncode == 0, errors
        assert "apart 0.0\n" in printed
        assert f"collectives {planned.vectors} {planned.scalars}\n" in printed
    if common:
        assert_equal_but_for_rounding(tmp_path / "two", alone.path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (("{}", "{learning_rate: 0.03}"), "recipe.learning_rate is 0.02 on worker 0 and 0.03 on worker 1"),
        (
            ("{seed: 1}", "{precision: mixed_bfloat16}"),
            "recipe.precision is 'float32' on worker 0 and 'mixed_bfloat16'",
        ),
        (("{}", "{network: {stem: {convs: [{width: 4}]}}}"), "network.stem.convs.0.width is 8 on worker 0 and 4"),
    ],
)
def test_workers_that_were_asked_for_different_trainings_end_at_once_on_all(tmp_path, fields, named):
    ports = "127.0.0.1:21741", "127.0.0.1:21742"
    running = []
    for index in range(2):
        config = json.dumps({"cluster": {"worker": ports}, "task": {"type": "worker", "index": index}})
        command = [
            sys.executable,
            "-m",
            "tests.training.replicas",
            str(tmp_path / "two"),
            "multi-worker",
            "0",
            fields[index],
        ]
        running.append(
            subprocess.Popen(
                command,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "TF_CONFIG": config, "CUDA_VISIBLE_DEVICES": "-1"},
            )
        )
    for worker in running:
        _, errors = worker.communicate(timeout=200)
        assert worker.returncode != 0
        assert named in errors
    assert not (tmp_path / "two").exists()
