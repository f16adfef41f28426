"""A training step compiled by XLA equals the plain one within rounding, for every block, order, skip and form."""

import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.graph.weights import read
from reskeras.networks.orders import ORDERS
from reskeras.networks.skips import SKIPS
from reskeras.recipes.optimizer import OPTIMIZERS
from reskeras.tasks.classification.subject import compiled
from reskeras.training import form

NETWORK = {"family": "cifar", "stages": [2, 2], "classes": 3, "input_shape": [8, 8, 3]}
STEPS = 3


def trained(fields, xla, seed=0, **recipe):
    """Weights by name after STEPS steps on random images, and the losses."""
    plan = reskeras.network(**{**NETWORK, **fields}).lower()
    fields = {"precision": "float32", "batch_size": 8, "learning_rate": 0.02, "label_smoothing": 0.1, **recipe}
    chosen = reskeras.recipe("quick", xla=xla, **fields)
    model = compiled(plan, "net", chosen, STEPS)
    assert model.jit_compile is xla
    rng, losses = np.random.default_rng(seed), []
    for _ in range(STEPS):
        images = rng.normal(0, 1, (8, *plan.input_shape)).astype(np.float32)
        labels = tf.one_hot(rng.integers(0, 3, 8), 3)
        losses.append(model.train_on_batch(images, labels)[0])
    return read(model), losses


def same(fields, **recipe):
    (plain, losses), (compiled_, others) = (trained(fields, xla, **recipe) for xla in (False, True))
    np.testing.assert_allclose(losses, others, rtol=1e-5)
    assert plain.keys() == compiled_.keys()
    for name, value in plain.items():
        np.testing.assert_allclose(compiled_[name], value, rtol=0, atol=5e-5 + 2e-4 * np.abs(value).max(), err_msg=name)


@pytest.mark.sample(1)
@pytest.mark.parametrize(("order", "form"), [("original", "unrolled"), ("full_preact", "scanned")])
def test_a_compiled_step_equals_the_plain_one(order, form):
    same({"order": order, "drop_path": 0.3}, form=form)  # the same masks too


@pytest.mark.slow
@pytest.mark.parametrize("form", ["unrolled", "scanned"])
@pytest.mark.parametrize(
    "fields",
    [
        *({"order": order} for order in ORDERS),
        *({"skip": skip} for skip in SKIPS),
        *({"block": block} for block in ("basic", "bottleneck", "single")),
        *({"shortcut": shortcut} for shortcut in "ABC"),
        {"shortcut": "none"},
        {"block": "bottleneck", "groups": 2},
        {"squeeze": 4},
        {"projection": "pooled", "shortcut": "B"},
    ],
    ids=str,
)
def test_every_kind_of_network_compiles_to_the_same_step(fields, form):
    same(fields, form=form)


@pytest.mark.slow
def test_recomputed_accumulated_averaged_and_clipped_steps_too():
    same({}, form="scanned", recompute=True)
    same({}, accumulate=2, ema=0.9, clip_norm=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["unrolled", "scanned"])
@pytest.mark.parametrize("kind", [kind for kind in OPTIMIZERS if kind != "sgd"])
def test_every_optimizer_compiles_to_the_same_step(kind, form):
    rules = {"rate_factors": {"stage1_unit2_*": 0.5}, "clip_norm": 0.5, "ema": 0.9, "weight_decay": 0.05}
    # with a large epsilon: else a rounding turns the update of a weight whose gradient is nearly 0
    same({"stages": [3, 1]}, form=form, optimizer={"kind": kind, "epsilon": 0.01}, learning_rate=0.001, **rules)


def test_xla_is_by_default_for_gpus_whose_replicas_do_not_synchronise_inside_the_step(monkeypatch):
    auto, asked, off = (reskeras.recipe("quick", xla=xla) for xla in ("auto", True, False))
    assert [form.training_xla(each) for each in (auto, asked, off)] == [False, True, False]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["gpu"])
    inside = reskeras.recipe("quick", sync_bn=True)
    assert [form.training_xla(each, replicas) for each in (auto, inside) for replicas in (1, 2)] == [1, 1, 1, 0]
