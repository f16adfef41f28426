"""Going on equals never having stopped, whatever stopped it; and what is told when it cannot go on."""

import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import reskeras
from reskeras.errors import ReskerasError, failure
from reskeras.training import callbacks
from reskeras.training import checkpoints as states
from reskeras.training.checkpoints import Checkpoints
from reskeras_cli.main import commands
from tests.conftest import TINY

ROOT = Path(__file__).parents[2]
DETERMINISTIC = {"epochs": 2, "deterministic": True, "precision": "float32", "checkpoint_steps": 5}


def killed(out, moment="never", devices=1, fields="{}"):
    """Run the training that kills itself, with `fields` of its recipe; its exit status and what it printed."""
    command = [sys.executable, "-m", "tests.training.killed", str(out), moment, str(devices), fields]
    return subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )


def digest(done):
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_killed_at_any_moment_it_ends_with_the_same_bits(tmp_path, devices):
    expected = digest(killed(tmp_path / "whole", devices=devices))
    chance = random.Random(devices)
    # 20 steps an epoch: the warm-up is over within the first
    moments = ["step:3", *(f"step:{chance.randint(4, 59)}" for _ in range(3)), "validation:2", "writing:2", "writing:5"]
    for moment in moments:
        out = tmp_path / moment.replace(":", "-")
        assert killed(out, moment, devices).returncode == -signal.SIGKILL
        assert digest(killed(out, devices=devices)) == expected, moment
        assert reskeras.Run(out).folder.metrics()[-1]["epoch"] == 3


class Failing(Exception):
    """Stands for whatever ends a training in the middle of a step."""


def stopping_at(step, error=Failing):
    import keras

    count = [0]

    def look(batch, logs):
        count[0] += 1
        if count[0] == step:
            raise error

    return keras.callbacks.LambdaCallback(on_train_batch_end=look)


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path):
    network = reskeras.network(**TINY)
    whole = reskeras.train(network, out=tmp_path / "whole", **DETERMINISTIC)
    with pytest.raises(Failing):
        reskeras.train(network, out=tmp_path / "run", callbacks=[stopping_at(33)], **DETERMINISTIC)
    told = []
    resumed = reskeras.train(network, out=tmp_path / "run", resume=True, tell=told.append, **DETERMINISTIC)
    assert "resume: continuing after epoch 1, step 10" in told
    assert resumed.folder.provenance()["trained_sha256"] == whole.folder.provenance()["trained_sha256"]
    kept = [{name: value for name, value in row.items() if name != "seconds"} for row in resumed.folder.metrics()]
    assert kept == [{name: value for name, value in row.items() if name != "seconds"} for row in whole.folder.metrics()]


def test_sigterm_finishes_the_step_and_keeps_the_state(tmp_path):
    import keras

    network, before = reskeras.network(**TINY), signal.getsignal(signal.SIGTERM)

    def look(batch, logs):
        if batch == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(ReskerasError, match="stopped on request in epoch 1 after 4 steps;") as caught:
        reskeras.train(
            network, out=tmp_path / "run", epochs=2, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=look)]
        )
    assert caught.value.status == 143
    [state] = Checkpoints(tmp_path / "run" / "checkpoints", 3).all()
    assert state.name == "state-000000-00000004.npz"
    assert signal.getsignal(signal.SIGTERM) is before
    run = reskeras.train(network, out=tmp_path / "run", epochs=2, resume=True)
    assert [row["epoch"] for row in run.folder.metrics()] == [1, 2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return reskeras.train(reskeras.network(**TINY), epochs=3, keep=2, out=tmp_path_factory.mktemp("finished") / "run")


def test_only_the_newest_states_are_kept(finished):
    names = [path.name for path in Checkpoints(finished.folder.checkpoint_folder, 2).all()]
    assert names == ["state-000002-00000000.npz", "state-000003-00000000.npz"]


def test_a_finished_training_has_nothing_to_go_on_with(finished):
    before = finished.folder.provenance()["trained_sha256"]
    again = reskeras.train(reskeras.network(**TINY), epochs=3, keep=2, out=finished.path, resume=True)
    assert again.folder.provenance()["trained_sha256"] == before
    assert len(again.folder.metrics()) == 3


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_broken_newest_state_is_passed_over(finished, tmp_path, damage):
    import shutil

    path = shutil.copytree(finished.path, tmp_path / "run")
    newest = path / "checkpoints" / "state-000003-00000000.npz"
    whole = newest.read_bytes()
    newest.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"no state at all"}[damage])
    told = []
    run = reskeras.train(reskeras.network(**TINY), epochs=3, keep=2, out=path, resume=True, tell=told.append)
    assert any("state-000003-00000000.npz is broken and was skipped" in note for note in told)
    assert "resume: continuing after epoch 2" in told
    assert [row["epoch"] for row in run.folder.metrics()] == [1, 2, 3]


def test_another_request_is_refused_with_what_differs(finished):
    with pytest.raises(ReskerasError, match=r"holds another training.*recipe.learning_rate 0.2 instead of 0.05"):
        reskeras.train(reskeras.network(**TINY), epochs=3, keep=2, out=finished.path, resume=True, learning_rate=0.2)
    other = {**TINY, "stages": [2, 1]}
    with pytest.raises(ReskerasError, match=r"holds another training: network.depth 8 instead of 6"):
        reskeras.train(reskeras.network(**other), epochs=3, keep=2, out=finished.path, resume=True)


@pytest.mark.slow
def test_a_state_follows_the_best_model_that_it_tells_of(tmp_path, monkeypatch):
    """Killed between them, or with a disk full for the one, a training would go on to the model of another epoch."""
    real, failing = callbacks.copy_file, [False]

    def slow(*arguments, **options):
        time.sleep(1)  # longer than a state takes
        if failing[0]:
            raise failure("cannot be written")
        real(*arguments, **options)

    monkeypatch.setattr(callbacks, "copy_file", slow)
    found, save = [], Checkpoints.save
    monkeypatch.setattr(
        Checkpoints,
        "save",
        lambda self, arrays, epoch, step: (
            found.append((epoch, (self.folder.parent / "model.keras").exists())),
            save(self, arrays, epoch, step),
        ),
    )
    fields = {**DETERMINISTIC, "epochs": 1, "checkpoint_steps": None}
    whole = reskeras.train(reskeras.network(**TINY), out=tmp_path / "whole", **fields)
    assert found == [(1, True)]
    failing[0] = True
    with pytest.raises(ReskerasError, match="cannot be written"):
        reskeras.train(reskeras.network(**TINY), out=tmp_path / "run", **fields)
    assert found == [(1, True)]
    failing[0] = False
    again = reskeras.train(reskeras.network(**TINY), out=tmp_path / "run", resume=True, **fields)
    assert again.folder.provenance()["trained_sha256"] == whole.folder.provenance()["trained_sha256"]
    assert again.folder.model_file.is_file()


def test_a_state_of_another_network_is_refused(finished, tmp_path):
    import shutil

    network = reskeras.network(**{**TINY, "stages": [2, 1]})
    run = reskeras.train(network, epochs=1, out=tmp_path / "run")
    shutil.copy(finished.folder.checkpoint_folder / "state-000003-00000000.npz", run.folder.checkpoint_folder)
    with pytest.raises(ReskerasError, match="the checkpoint belongs to another network or recipe"):
        reskeras.train(network, epochs=1, out=tmp_path / "run", resume=True)


def test_a_full_disk_is_told_and_leaves_the_state_before(tmp_path, monkeypatch):
    import errno

    kept = Checkpoints(tmp_path, 3)
    kept.save({"facts": np.zeros(3)}, 1, 0)

    def full(file, **arrays):
        file.write_bytes(b"some of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(states.np, "savez", full)
    told = r"there is no space left; make room; state-000001-00000000\.npz is intact"
    with pytest.raises(ReskerasError, match=told) as caught:
        kept.save({"facts": np.zeros(3)}, 2, 0)
    assert caught.value.status == 1
    assert [path.name for path in tmp_path.iterdir()] == ["state-000001-00000000.npz"]


STILL = {"schedule": {"kind": "constant"}, "deterministic": True, "precision": "float32", "ema": 0.9, "holdout": 0.1}
SMALL = {
    "family": "cifar",
    "stages": [{"units": 1, "width": 4}],
    "stem": {"convs": [{"width": 4}]},
    "input_shape": [8, 8, 1],
}


def small(out, **fields):
    return reskeras.train(reskeras.network(**SMALL), "digits@300", out=out, **{**STILL, **fields})


def digest_of(run):
    return run.folder.provenance()["trained_sha256"]


def measured(run):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in run.folder.metrics()]


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [{"kind": "constant"}, {"kind": "plateau", "patience": 1, "least": 0.9}])
def test_a_training_made_longer_equals_one_that_was_as_long_from_the_start(tmp_path, schedule):
    whole = small(tmp_path / "whole", epochs=4, schedule=schedule)
    told = []
    small(tmp_path / "run", epochs=2, schedule=schedule)
    longer = small(tmp_path / "run", epochs=3, schedule=schedule, resume=True, tell=told.append)
    assert any("training for 3 epochs instead of 2" in note for note in told)
    longer = small(tmp_path / "run", epochs=4, schedule=schedule, resume=True)
    assert digest_of(longer) == digest_of(whole)
    assert measured(longer) == measured(whole)
    assert longer.folder.recipe() == whole.folder.recipe()
    assert longer.folder.provenance()["best_epoch"] == whole.folder.provenance()["best_epoch"]


@pytest.mark.slow
def test_a_training_killed_while_it_was_made_longer_goes_on(tmp_path):
    whole = small(tmp_path / "whole", epochs=3)
    small(tmp_path / "run", epochs=1)
    with pytest.raises(Failing):  # the longer recipe is written, and no state of it yet
        small(tmp_path / "run", epochs=3, resume=True, callbacks=[stopping_at(1)])
    assert digest_of(small(tmp_path / "run", epochs=3, resume=True)) == digest_of(whole)


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"kind": "cosine"}, "cosine"),
        ({"kind": "constant", "warmup": 0.1}, "constant after a warm-up"),
        ({"kind": "steps"}, "steps"),
        ({"kind": "linear"}, "linear"),
    ],
)
def test_a_schedule_of_the_whole_training_is_not_stretched_and_the_way_is_told(tmp_path, schedule, words):
    out = tmp_path / "my run"
    small(out, epochs=1, schedule=schedule)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(ReskerasError) as caught:
        small(out, epochs=3, schedule=schedule, resume=True)
    assert f"the schedule ({words}) is relative to the whole training" in str(caught.value)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    command = shlex.split(str(caught.value).partition("with a separate schedule: ")[2])
    assert command[:2] == ["reskeras", "train"]
    shown = CliRunner().invoke(commands, command[1:])
    assert shown.exit_code == 0, shown.output
    longer = reskeras.Run(tmp_path / "my run-longer")
    assert [row["epoch"] for row in longer.folder.metrics()] == [1, 2]
    assert longer.folder.provenance()["begun_from"] == str(out)


def test_fewer_epochs_and_other_changes_are_still_another_training(tmp_path):
    small(tmp_path / "run", epochs=2)
    for changes, said in [({"epochs": 1}, "1 instead of 2"), ({"epochs": 3, "seed": 1}, "3 instead of 2")]:
        with pytest.raises(ReskerasError, match=f"holds another training: recipe.epochs {said}"):
            small(tmp_path / "run", resume=True, **changes)
