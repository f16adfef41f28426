"""`reskeras doctor` on this machine, in odd places, and of wrong requests."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from reskeras.data.registry import open_source
from reskeras.diagnosis import speed
from reskeras.diagnosis.facts import Speed
from reskeras.errors import ReskerasError
from reskeras.networks.request import network
from reskeras.recipes.recipe import recipe
from reskeras.tasks.classification.job import ClassifierJob
from reskeras.training.precision import training_precision
from reskeras.training.strategy import open_replicas
from tests.cli.running import invoke, printed, refused

PROGRAM = "from reskeras_cli.main import main; main()"
CLUSTER = json.dumps(
    {"cluster": {"worker": ["192.0.2.1:1234", "192.0.2.2:1234"]}, "task": {"type": "worker", "index": 1}}
)


@pytest.fixture
def tiny(tmp_path):
    """A network file that is quick to build."""
    (tmp_path / "tiny.yaml").write_text("family: cifar\nstages: [1]\ninput_shape: [8, 8, 1]\n")
    return tmp_path / "tiny.yaml"


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(speed, "SECONDS", 0.2)


def doctor(*words, folder, **environ):
    """The exit status and both outputs of the command in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, "doctor", *map(str, words)]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=200, env={**os.environ, **environ}
    )


def test_json_says_what_was_found_and_what_training_uses(tiny):
    found = json.loads(printed("doctor", "digits@200", "--network", tiny, "--json"))
    assert found["machine"]["build"]["version"] == tf.__version__
    assert found["machine"]["gpus"] == []
    assert found["choices"]["precision"] == training_precision("auto")
    assert (found["choices"]["xla"], found["choices"]["batch"], found["choices"]["form"]) == (False, 64, "unrolled")
    timed = found["speed"]
    assert timed["step"] > 0 and timed["input"] > 0 and timed["images"] == 200
    assert timed["expected"] == pytest.approx(1 / (1 / timed["step"] + 1 / timed["input"]))
    assert found["healthy"] is True


def test_printed_lines_and_the_recipe_s_choices(tiny, tmp_path):
    (tmp_path / "mine.yaml").write_text("precision: float32\nxla: true\nbatch_size: 16\nrecompute: true\n")
    lines = [
        " ".join(line.split())
        for line in printed("doctor", "--network", tiny, "--recipe", tmp_path / "mine.yaml").splitlines()
    ]
    assert "precision float32" in lines and "XLA yes compiles the step" in lines and "form scanned" in lines
    assert any(line.startswith("steps ") and "one batch of 16 on the processor" in line for line in lines)
    assert not any(line.startswith(("input", "expected")) for line in lines)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("digit",), "data: 'digit' is not one of"),
        (("folder:/nowhere",), "/nowhere"),
        (("voc:x",), "for detectors"),
        (("--network", "resnet-51"), "resnet-51"),
        (("--recipe", "quik"), "did you mean quick"),
        (("--strategy", "mirored"), "did you mean mirrored"),
        (("--strategy", "mirrored"), "this machine has no GPU"),
        (("--devices", "0"), "devices: 0: should be at least 1"),
        (("--strategy", "multi-worker"), "needs TF_CONFIG or Slurm"),
    ],
)
def test_wrong_requests_are_refused_in_training_s_words(words, named, monkeypatch):
    for variable in ("TF_CONFIG", "SLURM_PROCID"):
        monkeypatch.delenv(variable, raising=False)
    assert named in refused("doctor", *words)


def test_what_training_refuses_is_a_problem_and_status_1(tiny, tmp_path):
    (tmp_path / "mine.yaml").write_text("batch_size: 60000\n")
    result = invoke("doctor", "--network", "resnet-152", "--recipe", tmp_path / "mine.yaml")
    assert result.exit_code == 1
    assert "problem: training would be refused: batch_size: 60000: a step on 60,000 images keeps" in result.output


def test_a_step_that_fails_is_told(monkeypatch):
    def failing(*_):
        raise tf.errors.InternalError(None, None, "No algorithm worked!\nmore")

    monkeypatch.setattr(speed, "step_rate", failing)
    told = speed.timed_steps(Speed(), None, recipe("quick"), None, 8)
    assert (told.step, told.failure) == (None, "No algorithm worked!")


def test_an_unreadable_image_of_the_input_is_named(tmp_path, monkeypatch):
    import numpy as np

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in "ab":
        (tmp_path / "images" / name).mkdir(parents=True)
        for index in range(20):
            pixels = np.full((8, 8, 3), index, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{index}.png")
    source = open_source(f"folder:{tmp_path / 'images'}")
    for path in (tmp_path / "images").rglob("*.png"):
        path.write_bytes(b"gone")
    job = ClassifierJob(network(family="cifar", stages=[1], input_shape=[8, 8, 3]), recipe("quick"), source)
    with pytest.raises(ReskerasError, match=r"\d+\.png"):
        speed.input_rate(job)


def test_rates_are_what_a_stopwatch_says():
    source = open_source("digits")
    job = ClassifierJob(
        network(family="cifar", stages=[1], input_shape=[8, 8, 1]), recipe("quick", batch_size=32), source
    )
    model = speed.compiled(job.plan, "net", job.recipe, 10)
    images, labels = np.zeros((32, *job.plan.input_shape), np.float32), np.zeros(32, np.int32)
    seen = []
    count = tf.keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    clock = speed.Clock()
    model.fit(
        speed.repeated_batch(images, labels), steps_per_epoch=5, verbose=0, shuffle=False, callbacks=[clock, count]
    )
    assert seen == list(range(5)) and clock.seconds > 0
    assert speed.step_rate(job.plan, job.recipe, open_replicas("one"), 32) > 32 / 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "environ", "expected"),
    [
        (
            ("--devices", "2"),
            {"CUDA_VISIBLE_DEVICES": "-1"},
            ["strategy mirrored 2 replicas", "batch 64 32 images on each"],
        ),
        ((), {"TF_CONFIG": CLUSTER}, ["strategy multi-worker 2 replicas over 2 workers"]),  # waits for nobody
    ],
)
def test_replicas_and_clusters_are_described_in_a_process_of_their_own(tiny, tmp_path, words, environ, expected):
    done = doctor("--network", tiny, *words, folder=tmp_path, PATH="", **environ)
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert not [line for line in expected if line not in lines], done.stdout
    assert done.stderr == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_a_warning(tiny, tmp_path):
    (tmp_path / "ro").mkdir(mode=0o555)
    done = doctor("--network", tiny, folder=tmp_path / "ro")
    assert done.returncode == 0 and "warning: runs cannot be written here" in done.stdout


def test_a_place_that_refuses_is_told(monkeypatch):
    from reskeras.diagnosis import probe
    from reskeras.errors import failure

    def refuse(path):
        raise failure(f"{path}: read-only file system")

    monkeypatch.setattr(probe, "check_place", refuse)
    assert probe._place().refusal == "saved_models/run: read-only file system"
