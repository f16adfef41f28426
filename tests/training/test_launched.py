"""A group of real workers under `reskeras launch`: killed it comes to the same end, stopped it leaves nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import reskeras

NETWORK = {
    "family": "cifar",
    "stages": [{"units": 2, "width": 8}],
    "stem": {"convs": [{"width": 8}]},
    "input_shape": [8, 8, 1],
}
pytestmark = pytest.mark.slow


def launched(folder, name):
    (folder / "net.yaml").write_text(yaml.safe_dump(NETWORK))
    command = [
        str(Path(sys.executable).with_name("reskeras")),
        "launch",
        "--workers",
        "2",
        "--grace",
        "8",
        "--",
        "train",
        "net.yaml",
        "--epochs",
        "12",
        "--batch-size",
        "64",
        "--deterministic",
        "--precision",
        "float32",
        "--out",
        name,
    ]
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )


def wait_for(path, launcher, seconds=90):
    until = time.monotonic() + seconds
    while not path.exists():
        assert launcher.poll() is None, launcher.stdout.read()
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.05)


def workers(launcher):
    return [int(pid) for pid in Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()]


def digest(path):
    return reskeras.Run(path).folder.provenance()["trained_sha256"]


def test_a_killed_worker_brings_the_group_to_the_same_end(tmp_path):
    whole = launched(tmp_path, "whole")
    told, _ = whole.communicate(timeout=300)
    assert whole.returncode == 0, told
    launcher = launched(tmp_path, "run")
    wait_for(tmp_path / "run" / "checkpoints" / "state-000002-00000000.npz", launcher)
    os.kill(workers(launcher)[1], signal.SIGKILL)
    told, _ = launcher.communicate(timeout=300)
    assert launcher.returncode == 0, told
    assert "resume: continuing after epoch" in told
    assert digest(tmp_path / "run") == digest(tmp_path / "whole")


def test_sigterm_to_the_launcher_leaves_no_process_and_a_whole_state(tmp_path):
    launcher = launched(tmp_path, "run")
    wait_for(tmp_path / "run" / "checkpoints" / "state-000001-00000000.npz", launcher)
    pids = workers(launcher)
    assert len(pids) == 2
    launcher.terminate()
    told, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == 143, told
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert "stopped on request in epoch" in told
