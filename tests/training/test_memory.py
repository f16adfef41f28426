"""Memory that cannot hold a training is told in a line, before it is tried and when it runs out all the same."""

import os
import subprocess
import sys

import pytest
import tensorflow as tf

import reskeras
from reskeras.errors import ReskerasError
from reskeras.recipes.recipe import recipe
from reskeras.tasks.classification import subject
from reskeras.training import memory
from reskeras.training.memory import check_memory, ran_out
from tests.conftest import TINY

PLAN = reskeras.plan("cifar-resnet-20")


def test_a_steps_bytes_are_weights_and_the_plans_activations():
    cost = PLAN.complexity().total
    fixed = 16 * cost.parameters
    assert recipe().step_bytes(PLAN, 100, "float32") == fixed + 100 * 4 * cost.activations
    assert recipe().step_bytes(PLAN, 100, "mixed_bfloat16") == fixed + 100 * 2 * cost.activations
    for chosen in (recipe(recompute=True), recipe(freeze="stage1")):
        assert chosen.step_bytes(PLAN, 100, "float32") == fixed


def holding(monkeypatch, count):
    monkeypatch.setattr(memory, "memory", lambda: count)


def test_a_step_that_cannot_fit_is_refused_and_one_that_may_not_is_told(monkeypatch):
    chosen = recipe(precision="float32", batch_size=1024)
    needed = chosen.step_bytes(PLAN, 1024, "float32")
    holding(monkeypatch, 4 * needed)
    assert check_memory(PLAN, chosen, 1024) == ""
    holding(monkeypatch, int(1.5 * needed))
    note = check_memory(PLAN, chosen, 1024)
    assert note.startswith("memory: a step on 1,024 images keeps at least")
    fitting = int(note.partition("--batch-size ")[2].partition(",")[0])
    assert check_memory(PLAN, recipe(chosen, batch_size=fitting), fitting) == ""
    holding(monkeypatch, needed - 1)
    with pytest.raises(
        ReskerasError,
        match=r"batch_size: 1024: a step .* use --batch-size 5\d\d, --recompute or "
        r"accumulate: 4 in the recipe",
    ) as caught:
        check_memory(PLAN, chosen, 1024)
    assert caught.value.status == 2
    accumulating = recipe(chosen, accumulate=4)
    assert check_memory(PLAN, accumulating, accumulating.step_images) == ""


def test_a_training_that_cannot_fit_writes_nothing(monkeypatch, tmp_path):
    holding(monkeypatch, 1 << 20)
    with pytest.raises(ReskerasError, match="batch_size: 64: a step on 64 images keeps at least"):
        reskeras.train(reskeras.network(**TINY), out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 95.3 GiB for an array"),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[4096,64,112,112]"),
        tf.errors.UnknownError(None, None, "std::bad_alloc"),
    ],
)
@pytest.mark.parametrize("moment", ["compiled", "step"])
def test_memory_that_runs_out_is_told_with_what_to_do(monkeypatch, tmp_path, error, moment):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(*((subject, "compiled") if moment == "compiled" else ("keras.Model.fit",)), fail)
    with pytest.raises(
        ReskerasError,
        match=r"out of memory in a training with steps of 32 images; use a smaller "
        r"--batch-size, --recompute or accumulate: 2 in the recipe",
    ) as caught:
        reskeras.train(reskeras.network(**TINY), out=tmp_path / "run", batch_size=32)
    assert caught.value.status == 1


def test_a_full_disk_is_not_memory():
    assert not ran_out(tf.errors.ResourceExhaustedError(None, None, "run/logs/events; No space left on device"))
    assert not ran_out(tf.errors.InvalidArgumentError(None, None, "shapes do not fit"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_a_process_whose_address_space_is_too_small_ends_in_a_line(tmp_path):
    program = f"{sys.executable} -c 'from reskeras_cli.main import main; main()'"
    command = (
        f"ulimit -v {6 << 20}; exec {program} train cifar-resnet-20 --data digits --batch-size 1400 "
        f"--input-shape 128x128x1 --epochs 1 --precision float32 --out {tmp_path}/run"
    )
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.returncode in (1, 2)
    [line] = [line for line in done.stderr.splitlines() if line.startswith("reskeras: ")]
    assert "use --batch-size" in line and "Traceback" not in done.stderr
