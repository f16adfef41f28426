"""What doctor says that training chooses is what training's own functions choose, on whatever devices there are."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from reskeras.diagnosis.choices import find_choices, local_replicas
from reskeras.networks.request import network
from reskeras.plans.complexity import BYTES
from reskeras.recipes.recipe import recipe
from reskeras.training import precision
from reskeras.training.strategy import Replicas, chosen_strategy

SPEC = network("resnet-18")
PLAN = SPEC.lower()


def on_gpus(monkeypatch, *capabilities):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: range(len(capabilities)))
    details = lambda gpu: {"compute_capability": capabilities[gpu]}  # noqa: E731
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details)


def choices(count=1, strategy="one", **fields):
    replicas = Replicas(SimpleNamespace(num_replicas_in_sync=count))
    return find_choices(SPEC, PLAN, recipe("quick", **fields), "quick", strategy, replicas)


@pytest.mark.parametrize(
    ("capabilities", "policy", "xla"),
    [
        ([(9, 0)], "mixed_bfloat16", True),
        ([(12, 0)], "mixed_bfloat16", True),
        ([(7, 0)], "mixed_float16", True),
        ([(6, 1)], "float32", True),
        ([(8, 0), (8, 0)], "mixed_bfloat16", True),
    ],
)
def test_precision_and_xla_follow_the_gpus(monkeypatch, capabilities, policy, xla):
    on_gpus(monkeypatch, *capabilities)
    found = choices(len(capabilities), chosen_strategy())
    assert (found.precision, found.xla, found.refusal) == (policy, xla, None)
    assert found.strategy == ("mirrored" if len(capabilities) > 1 else "one")
    kept = PLAN.complexity().total.activations * (64 // len(capabilities)) * BYTES[policy]
    assert found.step_bytes == kept + 4 * 4 * PLAN.complexity().parameters
    # two models, and a weight and its momentum in each of four states while the oldest is replaced
    assert found.run_bytes == 4 * PLAN.complexity().parameters * (2 + 2 * 4)


def test_processors_with_bf16_units_use_them(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    for flags, policy in (({"amx_bf16"}, "mixed_bfloat16"), ({"avx2"}, "float32")):
        monkeypatch.setattr(precision, "_cpu_flags", lambda flags=flags: flags)
        assert (choices().precision, choices().xla) == (policy, False)


@pytest.mark.parametrize(
    ("count", "fields", "words"),
    [
        (1, {"precision": "mixed_bfloat16"}, "needs a GPU of the Ampere generation"),
        (3, {}, "cannot be split evenly over 3 replicas"),
        (2, {"xla": True, "sync_bn": True}, "xla: true cannot compile sync_bn over 2 replicas"),
    ],
)
def test_what_training_refuses_is_kept_in_its_words(monkeypatch, count, fields, words):
    on_gpus(monkeypatch, *[(7, 5)] * count)
    found = choices(count, **fields)
    assert words in found.refusal


def test_a_cluster_counts_all_workers_and_opens_this_one_s_devices(monkeypatch):
    config = '{"cluster": {"worker": ["a:1", "b:1", "c:1"]}, "task": {"type": "worker", "index": 2}}'
    monkeypatch.setenv("TF_CONFIG", config)
    assert chosen_strategy() == "multi-worker"
    assert local_replicas("multi-worker", None).count == 1
    found = choices(1, "multi-worker")
    assert found.workers == 3 and "64 cannot be split evenly over 3 replicas" in found.refusal
