"""Machines with separate disks train together: killed or unplugged they meet again, and refusals reach all of them."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

import reskeras
from tests.training.machines import machines
from tests.training.replicas import NETWORK

RECIPE = {
    "epochs": 3,
    "batch_size": 48,
    "deterministic": True,
    "precision": "float32",
    "learning_rate": 0.02,
    "sync_bn": True,
    "checkpoint_steps": 5,
    "keep": 100,
}
PROGRAM = [sys.executable, "-P", "-c", "from reskeras_cli.main import main; main()"]
LONGEST = 60.0  # seconds until a group that has lost a machine has ended everywhere
# other versions of a library, as `sitecustomize` of one machine has them
OTHER = """
import importlib.metadata as metadata
version = metadata.version
metadata.version = lambda name: "3.0.0" if name == "keras" else version(name)
"""
pytestmark = pytest.mark.slow


def started(group, *words, launch=False, each=None, recipe=RECIPE):
    """The same training on each machine, with `each` machine's own further words and variables."""
    running = []
    for index, machine in enumerate(group):
        own, variables = (each or {}).get(index, ((), {}))
        (machine.folder / "net.yaml").write_text(yaml.safe_dump(NETWORK))
        (machine.folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        config = {
            "cluster": {"chief": [group[0].address], "worker": [other.address for other in group[1:]]},
            "task": {"type": "worker" if index else "chief", "index": max(index - 1, 0)},
        }
        command = ["train", "net.yaml", "--recipe", "recipe.yaml", "--out", "run", *words, *own]
        environ = {
            **os.environ,
            "TF_CONFIG": json.dumps(config),
            "CUDA_VISIBLE_DEVICES": "-1",
            "OMP_NUM_THREADS": "1",
            "TF_NUM_INTRAOP_THREADS": "1",
            **variables,
        }
        running.append(machine.start([*PROGRAM, *(["launch", "--"] if launch else []), *command], env=environ))
    return running


def ended(running, seconds=200.0):
    """What each has printed."""
    until, printed = time.monotonic() + seconds, []
    try:
        for process in running:
            printed.append(process.communicate(timeout=max(until - time.monotonic(), 0.1))[0])
    finally:
        for process in running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return printed


def wait_for(state, group, running, seconds=120.0):
    """Until the chief has written a state whose name has this form."""
    until = time.monotonic() + seconds
    while not list((group[0].folder / "run" / "checkpoints").glob(state)):
        assert time.monotonic() < until, f"{state} did not come"
        assert all(process.poll() is None for process in running), ended(running, 10)
        time.sleep(0.05)


def weights(path):
    return np.concatenate([weight.ravel() for weight in reskeras.Run(path).model().get_weights()])


def equals_one_device(run, alone):
    """Rounding grows with the steps: the first epoch is the same, the third nearly."""
    ours, theirs = (each.folder.metrics() for each in (run, alone))
    for name in ("loss", "val_loss", "gradient_norm", "val_accuracy"):
        assert ours[0][name] == pytest.approx(theirs[0][name], rel=1e-3, abs=1e-6)
        assert ours[2][name] == pytest.approx(theirs[2][name], rel=2e-2, abs=2e-2)
    np.testing.assert_allclose(weights(run.path), weights(alone.path), atol=1e-2)


def only_the_chief_has_a_run(group):
    for index, machine in enumerate(group):
        expected = {"net.yaml", "recipe.yaml", *([] if index else ["run"])}
        assert {path.name for path in machine.folder.iterdir()} == expected


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    network = reskeras.network(**NETWORK)
    return reskeras.train(network, recipe=folder / "recipe.yaml", out=folder / "run", strategy="one")


def worker_of(launcher):
    return int(Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()[0])


@pytest.mark.parametrize(("number", "lost"), [(2, "chief killed"), (2, "worker killed"), (3, "link down")])
def test_a_lost_machine_comes_back_and_the_group_ends_as_if_nothing_had_been(alone, number, lost, tmp_path):
    with machines(number, tmp_path) as group:
        whole = started(group)
        told = ended(whole)
        assert [process.returncode for process in whole] == [0] * number, told
        only_the_chief_has_a_run(group)
        expected = reskeras.Run(group[0].folder / "run").folder.provenance()["trained_sha256"]
        equals_one_device(reskeras.Run(group[0].folder / "run"), alone)
        (group[0].folder / "run").rename(tmp_path / "whole")

        launchers = started(group, launch=True)
        wait_for("state-000001-0000001?.npz", group, launchers)
        if lost == "link down":
            group[-1].link("down")
            time.sleep(25)
            group[-1].link("up")
        else:
            os.kill(worker_of(launchers[0 if lost == "chief killed" else 1]), signal.SIGKILL)
        told = ended(launchers)
        assert [process.returncode for process in launchers] == [0] * number, told
        for lines in told:
            assert lines.count("restart 1 of 3 of this machine's worker") == 1
            assert "restart 2" not in lines
            assert "resume: continuing after epoch" in lines
        assert sum("was lost; start all workers again" in lines for lines in told) >= number - 1
        only_the_chief_has_a_run(group)
        assert reskeras.Run(group[0].folder / "run").folder.provenance()["trained_sha256"] == expected


def test_all_end_with_a_line_within_a_minute_of_a_link_going_down(tmp_path):
    with machines(2, tmp_path) as group:
        running = started(group, recipe={**RECIPE, "epochs": 500})
        wait_for("state-000001-00000000.npz", group, running)
        group[1].link("down")
        told = ended(running, LONGEST)
        assert [process.returncode for process in running] == [1, 1], told
        for other, lines in zip((1, 0), told, strict=True):
            last = lines.splitlines()[-1]
            assert last.startswith(f"reskeras: workers: the connection to worker {other} (10.77.0.")
            assert "Traceback" not in lines
            assert "E0000" not in lines  # TensorFlow's own words


@pytest.mark.parametrize(
    ("each", "named"),
    [
        (
            {1: ((), {"PYTHONPATH": "other"})},
            "workers: version of keras is '{keras}' on worker 0 and '3.0.0' on worker 1; start all workers",
        ),
        (
            {1: (("--learning-rate", "0.03"), {})},
            "workers: recipe.learning_rate is 0.02 on worker 0 and 0.03 on worker 1",
        ),
        ({1: (("--data", "digits@1000"), {})}, "on worker 1"),
        ({1: (("--data", "folder:nowhere"), {})}, "data: folder not found: nowhere"),
        ({0: (("--out", "."), {})}, "run: . is not a run folder"),
    ],
    ids=["versions", "recipe", "data", "no data", "no folder"],
)
def test_what_one_machine_refuses_all_refuse_and_nothing_is_written(each, named, tmp_path):
    with machines(2, tmp_path) as group:
        (group[1].folder / "other").mkdir()
        path = os.pathsep.join(filter(None, ["other", os.environ.get("PYTHONPATH")]))
        (group[1].folder / "other" / "sitecustomize.py").write_text(OTHER)
        each = {index: (words, {"PYTHONPATH": path} if variables else {}) for index, (words, variables) in each.items()}
        running = started(group, "--resume", each=each)
        told = ended(running, LONGEST)
        assert [process.returncode for process in running] == [2, 2], told
        for lines in told:
            assert named.format(keras=__import__("keras").__version__) in lines.splitlines()[-1]
            assert "Traceback" not in lines
        assert not any((machine.folder / "run").exists() for machine in group)
