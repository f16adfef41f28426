"""`reskeras launch`: what it starts, and what it refuses to."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from reskeras.launch.places import THREADS
from reskeras_cli.launch import worker_arguments

START = [sys.executable, "-c", "from reskeras_cli.main import main; main()", "launch"]


def run(*words, **environ):
    own = {name: value for name, value in os.environ.items() if name not in THREADS}  # as a user's, not a test worker's
    environ = {**own, "CUDA_VISIBLE_DEVICES": "", **environ}
    return subprocess.run([*START, *words], capture_output=True, text=True, timeout=60, check=False, env=environ)


def test_strategy_and_resume_are_added_unless_given():
    assert worker_arguments(("train", "x")) == ["train", "--strategy", "multi-worker", "x"]
    assert worker_arguments(("train", "x", "--strategy=one")) == ["train", "x", "--strategy=one"]
    assert worker_arguments(("train", "--strategy", "one"), resume=True) == ["train", "--resume", "--strategy", "one"]
    assert worker_arguments(("train", "--resume"), resume=True).count("--resume") == 1
    assert worker_arguments(("train", "--", "x"), resume=True) == [
        "train",
        "--strategy",
        "multi-worker",
        "--resume",
        "--",
        "x",
    ]


def test_dry_run_prints_commands_that_a_shell_takes():
    done = run("--workers", "2", "--dry-run", "--", "train", "my net", "--epochs", "2", OMP_NUM_THREADS="5")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    for index, line in enumerate(lines):
        words = shlex.split(line)
        setting = dict(word.split("=", 1) for word in words[: words.index(sys.executable)])
        config = json.loads(setting["TF_CONFIG"])
        assert config["task"] == {"type": "worker", "index": index}
        assert len(set(config["cluster"]["worker"])) == 2
        assert setting["PYTHONUNBUFFERED"] == "1"
        assert "OMP_NUM_THREADS" not in setting
        assert int(setting["TF_NUM_INTRAOP_THREADS"]) >= 1
        assert words[words.index("train") :] == ["train", "--strategy", "multi-worker", "my net", "--epochs", "2"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--workers", "2"], "no command to launch; give it after --"),
        (["--workers", "2", "--", "evaluate", "x"], "launch: 'evaluate' is not one of train"),
        (["--workers", "2", "--", "--epochs", "2"], "launch: '--epochs' is not one of train"),
        (["--workers", "0", "--", "train"], "--workers"),
        (["--", "train"], "launch: give --workers N to train in N processes on this machine, or TF_CONFIG or Slurm's"),
        (
            ["--workers", "2", "--port", "65535", "--dry-run", "--", "train"],
            "port: 65535: 2 workers need 2 free ports from here on; found",
        ),
    ],
)
def test_wrong_requests_are_refused(words, told):
    done = run(*words)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.startswith("reskeras: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_more_workers_than_gpus_are_refused():
    done = run("--workers", "3", "--", "train", "x", CUDA_VISIBLE_DEVICES="0,1")
    assert done.returncode == 2
    assert "workers: 3 are more than the GPUs of this machine (0, 1)" in done.stderr


def test_what_train_refuses_is_told_once_and_ends_the_launcher_with_2():
    done = run("--workers", "2", "--grace", "1", "--", "train", "no-such-net", "--no-such-option", "--out", "x")
    assert done.returncode == 2
    assert done.stderr.count("reskeras: no such option") == 1
    assert "[worker" not in done.stderr
    assert "restart" not in done.stderr


def test_help_has_examples():
    done = run("--help")
    assert done.returncode == 0
    assert "reskeras launch --workers 2 -- train" in done.stdout


@pytest.mark.slow
def test_what_cannot_be_written_ends_a_launched_process_with_a_status_of_its_own():
    command = [*START[:-1], "build", "cifar-resnet-20", "--out", "/proc/new"]
    for setting, status in (({}, 1), ({"RESKERAS_LAUNCHED": "1"}, 75)):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **setting})
        assert (done.returncode, "reskeras: /proc/new cannot be written" in done.stderr) == (status, True), done.stderr


CLUSTER = {"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}


def test_in_a_cluster_this_machines_worker_is_run_as_the_environment_says():
    done = run("--dry-run", "--", "train", "net", "--out", "x", TF_CONFIG=json.dumps(CLUSTER))
    assert done.returncode == 0, done.stderr
    [line] = done.stdout.splitlines()
    words = shlex.split(line)
    assert words[: words.index(sys.executable)] == ["PYTHONUNBUFFERED=1"]
    assert words[words.index("train") :] == ["train", "--strategy", "multi-worker", "net", "--out", "x"]


@pytest.mark.parametrize("option", [["--workers", "2"], ["--port", "4000"]])
def test_what_the_cluster_decides_cannot_be_given(option):
    done = run(*option, "--dry-run", "--", "train", "net", TF_CONFIG=json.dumps(CLUSTER))
    assert done.returncode == 2
    assert done.stderr.startswith(f"reskeras: {option[0][2:]}: {option[1]}: the environment (TF_CONFIG, ")
    assert "has a cluster of 2 workers; leave out" in done.stderr


def test_a_task_that_takes_no_part_is_refused_before_anything_starts():
    spec = {"cluster": {"workerpool0": ["a:1"]}, "task": {"type": "workerpool3", "index": 0}}
    done = run("--", "train", "net", CLUSTER_SPEC=json.dumps(spec))
    assert done.returncode == 2
    assert done.stderr.startswith("reskeras: CLUSTER_SPEC: task.type: workerpool3: the chief evaluates after")
