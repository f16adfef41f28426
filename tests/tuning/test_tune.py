"""Searches that train: the same curve as `train` gives, failures told, gone on with after a kill, shown again."""

import contextlib
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import reskeras
from reskeras.files import InUse, only_writer
from reskeras.launch.places import free_ports
from reskeras.tuning.outcome import read_outcomes
from reskeras.tuning.search import open_search
from tests.mounts import mounted

TINY = {"family": "cifar", "stages": [1, 1], "input_shape": [16, 16, 1]}
OVER = {
    "parameters": {
        "network.width_factor": [1.0, 1.5],
        "recipe.learning_rate": {"low": 0.02, "high": 0.2, "sampling": "log"},
    }
}


def curve(run):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in run.folder.metrics()]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A random search of two trials of two epochs. Tests must not change it."""
    return reskeras.tune(
        OVER,
        reskeras.network(**TINY),
        tuner="random",
        trials=2,
        epochs=2,
        out=tmp_path_factory.mktemp("searches") / "two",
    )


def test_the_best_trained_again_gives_the_same_curve(found, tmp_path):
    best = found.ranked()[0]
    again = reskeras.train(found.best_file, out=tmp_path / "again")
    trial = reskeras.Run(found.path / "search" / f"trial_{best.trial}" / "execution-0")
    assert curve(again) == curve(trial)
    assert best.score == max(row["val_accuracy"] for row in curve(again))
    assert reskeras.plan(found.best_file).complexity().parameters == best.figures["parameters"]


def test_everything_is_written_down(found):
    rows = list(csv.DictReader((found.path / "trials.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["completed", "completed"]
    assert {float(row["network.width_factor"]) for row in rows} <= {1.0, 1.5}
    best = yaml.safe_load(found.best_file.read_text())
    assert best["network"]["input_shape"] == [16, 16, 1]
    assert best["recipe"]["holdout"] == 0.1
    assert min(Image.open(found.path / "pareto.png").size) > 300
    assert min(Image.open(found.path / "effects.png").size) > 300
    events = EventAccumulator(str(found.path / "logs" / "1")).Reload()
    assert "val_accuracy" in {tag.rpartition("/")[2] for tag in events.Tags()["tensors"]}
    assert events.SummaryMetadata("_hparams_/session_start_info").plugin_data.plugin_name == "hparams"
    assert not list(found.path.glob("search/*/execution-0/checkpoints"))


def test_the_same_search_again_runs_nothing_and_another_is_refused(found):
    seen = []
    before = (found.path / "search" / "oracle.json").read_bytes()
    again = reskeras.tune(
        OVER, reskeras.network(**TINY), tuner="random", trials=2, epochs=2, out=found.path, ended=seen.append
    )
    assert [outcome.trial for outcome in seen] == ["0", "1"]  # told again, not run again
    assert json.loads(before)["end_order"] == ["0", "1"]
    assert len(again.outcomes()) == 2
    for changes, said in [
        ({"epochs": 3}, ": recipe.epochs 3 instead of 2; use another --out"),
        ({"seed": 5}, "seed 5 instead of 0"),
        ({"tuner": "bayesian"}, "tuner 'bayesian' instead of 'random'"),
        ({"max_params": 10**6}, "limits.params 1000000 instead of None"),
        ({"over": {"parameters": {"network.width_factor": [1.0, 2.0]}}}, ": space.parameters"),
    ]:
        asked = {"over": OVER, "spec": reskeras.network(**TINY), "tuner": "random", "trials": 2, "epochs": 2, **changes}
        with pytest.raises(reskeras.ReskerasError, match="holds another search") as caught:
            reskeras.tune(**asked, out=found.path)
        assert said in str(caught.value)


@pytest.mark.slow
def test_trials_that_fail_are_told_and_the_search_goes_on(tmp_path):
    over = {"parameters": {"recipe.learning_rate": [0.05, 90.0]}}
    found = reskeras.tune(over, reskeras.network(**TINY), tuner="grid", epochs=1, out=tmp_path / "search")
    [good, bad] = found.outcomes()
    assert (good.status, bad.status) == ("completed", "failed")
    assert "the loss has diverged to" in bad.reason
    assert len(found.ranked()) == 1


def test_a_trial_that_raises_is_told(tmp_path, monkeypatch):
    from reskeras.training import job

    def broken(*args, **kwargs):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(job, "fit", broken)
    with pytest.raises(
        reskeras.ReskerasError, match=r"every trial failed \(2\), such as trial 0: ZeroDivisionError: by"
    ):
        reskeras.tune(OVER, reskeras.network(**TINY), tuner="random", trials=2, epochs=1, out=tmp_path / "search")
    assert len(read_outcomes(tmp_path / "search" / "search")) == 2


@pytest.mark.slow
def test_a_full_disk_stops_the_search_and_leaves_its_trials_open(tmp_path):
    asked = {"over": OVER, "spec": reskeras.network(**TINY), "tuner": "random", "trials": 2, "epochs": 1}
    with mounted(tmp_path / "disk", "size=8m") as disk:
        out = disk / "search"
        for _ in range(4):  # more often than a trial may kill its process
            with little_room(disk), pytest.raises(reskeras.ReskerasError, match="no space left") as told:
                reskeras.tune(**asked, out=out)
            assert told.value.status == 1
            assert read_outcomes(out / "search") == []
            assert not list(disk.rglob(".*"))
        assert [outcome.status for outcome in reskeras.tune(**asked, out=out).outcomes()] == ["completed"] * 2


@contextlib.contextmanager
def little_room(disk):
    """A disk on which there is room for the oracle's files, and none for a model."""
    with open(disk / "ballast", "wb") as ballast:
        ballast.write(bytes(shutil.disk_usage(disk).free - 100_000))
    try:
        yield
    finally:
        (disk / "ballast").unlink()


def test_a_search_that_another_process_runs_is_told(tmp_path):
    (tmp_path / "search").mkdir()
    with only_writer(tmp_path / "search", "tune"), pytest.raises(InUse, match=r"tune: .*search is being written by"):
        reskeras.tune(OVER, reskeras.network(**TINY), tuner="random", trials=1, epochs=1, out=tmp_path / "search")


@pytest.mark.slow
def test_executions_start_differently_and_are_averaged(tmp_path):
    over = {"parameters": {"recipe.learning_rate": [0.05]}}
    found = reskeras.tune(over, reskeras.network(**TINY), tuner="grid", epochs=1, executions=2, out=tmp_path / "two")
    [outcome] = found.outcomes()
    runs = [reskeras.Run(path) for path in sorted(found.path.glob("search/trial_*/execution-*"))]
    assert [run.folder.recipe().seed for run in runs] == [0, 1]
    losses = [run.folder.metrics()[0]["val_loss"] for run in runs]
    assert losses[0] != losses[1]
    assert outcome.figures["val_loss"] == pytest.approx(sum(losses) / 2)


@pytest.mark.slow
def test_hyperband_goes_on_from_states_and_its_best_can_be_trained_again(tmp_path):
    found = reskeras.tune(OVER, reskeras.network(**TINY), tuner="hyperband", epochs=3, out=tmp_path / "search")
    best = next(outcome for outcome in found.ranked() if outcome.rounds.get("epochs") == 3)
    run = reskeras.Run(found.path / "search" / f"trial_{best.trial}" / "execution-0")
    assert [row["epoch"] for row in run.folder.metrics()] == [1, 2, 3]
    later = [outcome for outcome in found.outcomes() if outcome.rounds["initial_epoch"]]
    for outcome in later:
        before = reskeras.Run(found.path / "search" / f"trial_{outcome.rounds['trial_id']}" / "execution-0")
        after = reskeras.Run(found.path / "search" / f"trial_{outcome.trial}" / "execution-0")
        assert curve(after)[: len(curve(before))] == curve(before)
    assert later
    spec, by = found.candidate(best)
    assert curve(reskeras.train(spec, recipe=by, out=tmp_path / "again")) == curve(run)


@pytest.mark.slow
def test_latency_is_a_limit_of_its_own(tmp_path):
    over = {"parameters": {"network.width_factor": [1.0]}}
    with pytest.raises(reskeras.ReskerasError, match=r"every trial failed \(1\).*latency .* ms is more than 1e-06 ms"):
        reskeras.tune(over, reskeras.network(**TINY), tuner="grid", epochs=1, max_latency_ms=1e-6, out=tmp_path / "a")
    found = reskeras.tune(
        over, reskeras.network(**TINY), tuner="grid", epochs=1, max_latency_ms=1e6, out=tmp_path / "b"
    )
    assert 0 < found.outcomes()[0].figures["latency_ms"] < 1e6


def test_patience_ends_a_training_and_is_kept_over_a_resume(tmp_path):
    fields = {"epochs": 12, "learning_rate": 1e-6, "patience": 1, "holdout": 0.2}
    run = reskeras.train(reskeras.network(**TINY), out=tmp_path / "run", **fields)
    epochs = len(run.folder.metrics())
    assert epochs < 12
    again = reskeras.train(reskeras.network(**TINY), out=tmp_path / "run", resume=True, **fields)
    assert len(again.folder.metrics()) == epochs
    with pytest.raises(reskeras.ReskerasError, match="patience: needs held-out images; set holdout"):
        reskeras.recipe("step-cifar", patience=2)


def command(out, *more):
    words = [
        "tune",
        "--family",
        "cifar",
        "--set",
        "stages=[1,1]",
        "--input-shape",
        "16x16x1",
        "--tuner",
        "random",
        "--trials",
        "4",
        "--epochs",
        "2",
        "--space",
        str(out.parent / "space.yaml"),
        "--out",
        str(out),
        *more,
    ]
    return [sys.executable, "-c", "from reskeras_cli.main import main; main()", *words]


@pytest.mark.slow
def test_killed_in_a_trial_the_same_command_goes_on(tmp_path):
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(OVER))
    out = tmp_path / "search"
    process = subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    waited(lambda: (out / "search" / "trial_1" / "execution-0" / "metrics.jsonl").exists())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    first = (out / "search" / "trial_0" / "outcome.json").stat().st_mtime
    done = subprocess.run(command(out), capture_output=True, text=True, check=True)
    assert "resuming after 1 trial" in done.stderr
    assert (out / "search" / "trial_0" / "outcome.json").stat().st_mtime == first
    undisturbed = tmp_path / "other"
    subprocess.run(command(undisturbed), capture_output=True, check=True)
    scores = [[(each.trial, each.score) for each in open_search(path).outcomes()] for path in (out, undisturbed)]
    assert scores[0] == scores[1]
    assert len(scores[0]) == 4


def waited(what, seconds=120):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def worker_pids():
    """Processes of this test's children that are workers, by number."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        names = [each for each in variables if each.startswith(b"KERASTUNER_TUNER_ID=worker-")]
        if names:
            found[int(names[0].rpartition(b"-")[2])] = int(folder.name)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("restarts", [3, 0])
def test_a_killed_workers_trial_is_run_again_or_by_another(tmp_path, restarts):
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(OVER))
    out = tmp_path / "search"
    process = subprocess.Popen(
        command(out, "--workers", "2", "--restarts", str(restarts)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    waited(lambda: len(list(out.glob("search/trial_*/execution-0"))) >= 2)
    os.kill(worker_pids()[0], signal.SIGKILL)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert "worker 0 was killed by SIGKILL" in stderr
    assert ("restart 1 of 3" in stderr) == bool(restarts)
    assert ("it is not restarted" in stderr) != bool(restarts)
    assert len(open_search(out).ranked()) == 4
    assert worker_pids() == {}


@pytest.mark.slow
def test_a_search_whose_workers_all_die_ends_and_says_so(tmp_path):
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(OVER))
    out = tmp_path / "search"
    process = subprocess.Popen(
        command(out, "--workers", "2", "--restarts", "0"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    waited(lambda: len(list(out.glob("search/trial_*/outcome.json"))) >= 1)
    waited(lambda: len(worker_pids()) == 2)
    for pid in worker_pids().values():
        os.kill(pid, signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=120)
    assert "started but not finished" in stderr
    assert "best" in stdout
    done = subprocess.run(command(out), capture_output=True, text=True, check=True)  # alone, with the same folder
    assert len(open_search(out).ranked()) == 4, done.stderr


@pytest.mark.slow
def test_on_a_cluster_the_variables_say_who_is_who(tmp_path):
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(OVER))
    out, [port] = tmp_path / "search", free_ports(1)
    shared = {**os.environ, "KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
    crew = [
        subprocess.Popen(
            command(out),
            env={**shared, "KERASTUNER_TUNER_ID": name},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("chief", "worker-a", "worker-b")
    ]
    said = [process.communicate(timeout=300) for process in crew]
    assert [process.returncode for process in crew] == [0, 0, 0], said
    assert len(open_search(out).ranked()) == 4
    assert "best" in said[0][0]
    assert "best" not in said[1][0]


@pytest.mark.slow
def test_on_a_cluster_a_worker_whom_nobody_answers_ends(tmp_path):
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(OVER))
    [port] = free_ports(1)
    variables = {
        "KERASTUNER_TUNER_ID": "worker-a",
        "KERASTUNER_ORACLE_IP": "127.0.0.1",
        "KERASTUNER_ORACLE_PORT": str(port),
    }
    done = subprocess.run(
        command(tmp_path / "search", "--worker-timeout", "3"),
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert f"tune: the chief at 127.0.0.1:{port} does not answer" in done.stderr


@pytest.mark.slow
def test_on_a_cluster_a_chief_whom_nobody_asks_ends(tmp_path):
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(OVER))
    [port] = free_ports(1)
    variables = {
        "KERASTUNER_TUNER_ID": "chief",
        "KERASTUNER_ORACLE_IP": "127.0.0.1",
        "KERASTUNER_ORACLE_PORT": str(port),
    }
    done = subprocess.run(
        command(tmp_path / "search", "--worker-timeout", "3"),
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "no worker has sent a heartbeat for 3 s; the search ends" in done.stderr
    assert "no trial has finished" in done.stderr


def test_a_port_in_use_and_half_a_cluster_are_told(tmp_path, monkeypatch):
    asked = {"over": OVER, "spec": reskeras.network(**TINY), "trials": 1, "epochs": 1, "out": tmp_path / "search"}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(reskeras.ReskerasError, match=f"port: {port} on 127.0.0.1 is in use"):
            reskeras.tune(**asked, workers=2, port=port, command=["true"])
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "8000")
    with pytest.raises(reskeras.ReskerasError, match="KERASTUNER_TUNER_ID is not set, but KERASTUNER_ORACLE_PORT is"):
        reskeras.tune(**asked)


@pytest.mark.slow
def test_a_score_that_is_no_number_is_a_failure(tmp_path, monkeypatch):
    from reskeras.tuning.objective import Objective

    monkeypatch.setattr(Objective, "value", lambda self, figures, base: float("nan"))
    with pytest.raises(reskeras.ReskerasError, match=r"every trial failed \(1\).*val_accuracy is nan"):
        reskeras.tune(OVER, reskeras.network(**TINY), tuner="random", trials=1, epochs=1, out=tmp_path / "search")


@pytest.mark.slow
def test_killed_between_outcome_and_oracle_it_is_not_trained_again(found, tmp_path):
    """The folder as it is when the process dies after the outcome is written and before the oracle is told."""
    copy = tmp_path / "copy"
    shutil.copytree(found.path, copy)
    state, trial = copy / "search" / "oracle.json", copy / "search" / "trial_1" / "trial.json"
    told = json.loads(state.read_text())
    told |= {"ongoing_trials": {"tuner0": "1"}, "end_order": ["0"]}
    state.write_text(json.dumps(told))
    trial.write_text(json.dumps(json.loads(trial.read_text()) | {"status": "RUNNING", "score": None}))
    metrics = copy / "search" / "trial_1" / "execution-0" / "metrics.jsonl"
    before = metrics.stat().st_mtime_ns
    again = reskeras.tune(OVER, reskeras.network(**TINY), tuner="random", trials=2, epochs=2, out=copy)
    assert metrics.stat().st_mtime_ns == before
    assert [each.score for each in again.outcomes()] == [each.score for each in found.outcomes()]
    assert json.loads(trial.read_text())["status"] == "COMPLETED"
