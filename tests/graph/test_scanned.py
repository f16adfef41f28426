"""The scanned form is the unrolled form: outputs, gradients, updates, statistics; converting is exact."""

from functools import partial
from itertools import combinations

import keras
import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.errors import ReskerasError
from reskeras.graph import weights
from reskeras.graph.compile import Context, compile_plan
from reskeras.graph.load import load_model, save_model
from reskeras.graph.scanned import ScannedUnits, looped, looped_in_groups
from reskeras.plans.plan_data import unit_data, unit_from_data
from reskeras.training.optimizer_steps import CoupledDecaySGD
from tests.graph.by_hand import distance, randomised

SMALL = {
    "family": "cifar",
    "stages": [{"units": 3, "width": 8}, {"units": 3, "width": 12}],
    "classes": 3,
    "stem": {"convs": [{"width": 8}]},
    "input_shape": [8, 8, 3],
}
ORDERS = ["original", "bn_after_add", "relu_before_add", "relu_preact", "full_preact"]
SKIPS = ["identity", "scale", "exclusive_gate", "shortcut_gate", "conv1x1", "dropout"]
NETS = {
    **{order: {**SMALL, "order": order, "drop_path": 0.2} for order in ORDERS},
    **{skip: {**SMALL, "skip": skip} for skip in SKIPS},
    "bottleneck": {**SMALL, "block": "bottleneck"},
    "groups and gates": {**SMALL, "block": "bottleneck", "groups": 4, "inner_factor": 2.0, "squeeze": 4},
    "plain": {**SMALL, "shortcut": "none"},
}
DEEP = {
    name: {"source": name, "classes": 3, "input_shape": [16, 16, 3]} for name in ("cifar-resnet-56", "cifar-preact-164")
}
DEEP |= {
    f"inception {kind}": {
        "inception": kind,
        "stem": "small",
        "cells": [3, 3, 1],
        "width_factor": 0.1,
        "classes": 3,
        "input_shape": [15, 15, 3],
    }
    for kind in ("v4", "resnet-v2")
}
QUICK = {"original", "dropout"}  # what they do not tell, the slow ones do


def every(quick):
    return [pytest.param(name, marks=[] if name in quick else pytest.mark.slow) for name in (*NETS, *DEEP)]


def batch(plan, count=8, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(count, *plan.input_shape))
    return tf.constant(images, tf.float32), tf.constant(rng.integers(0, 3, count))


def both(fields, recompute=False, precision="float32"):
    """The unrolled and the scanned form with the same calibrated weights."""
    plan = reskeras.plan(**fields)
    unrolled, scanned = (
        compile_plan(plan, "net", Context(precision, 2, form, recompute and form == "scanned"))
        for form in ("unrolled", "scanned")
    )
    assert any(isinstance(layer, ScannedUnits) for layer in scanned.layers)
    randomised(unrolled)
    for seed in range(8):  # statistics that fit: a fresh deep net overflows in inference
        unrolled(batch(plan, seed=seed)[0], training=True)
    weights.copy_weights(unrolled, scanned)
    return plan, unrolled, scanned


def gradients(model, images, labels):
    """The loss's gradient by canonical name."""

    @tf.function
    def compute():
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.cast(logits, tf.float32)))
        return tape.gradient(loss, model.trainable_variables)

    known = {
        id(variable): gradient.numpy() for variable, gradient in zip(model.trainable_variables, compute(), strict=True)
    }
    return {
        name: known[id(variable)] if index is None else known[id(variable)][index]
        for name, (variable, index) in weights.places(model).items()
        if id(variable) in known
    }


def relative(ours, theirs):
    return np.linalg.norm(ours - theirs) / max(np.linalg.norm(theirs), 1e-6)


@pytest.mark.parametrize("name", every(QUICK))
def test_outputs_and_every_gradient_agree_kept_or_recomputed(name):
    plan, unrolled, kept = both({**NETS, **DEEP}[name])
    recomputed = compile_plan(plan, "net", Context(form="scanned", seed=2, recompute=True))
    weights.copy_weights(kept, recomputed)
    images, labels = batch(plan)
    outputs, theirs = unrolled(images, training=False), gradients(unrolled, images, labels)
    for scanned in (kept, recomputed):
        assert distance(scanned(images, training=False), outputs) < 1e-4
        ours = gradients(scanned, images, labels)
        assert ours.keys() == theirs.keys()
        for parameter, expected in theirs.items():
            assert relative(ours[parameter], expected) < 1e-3, parameter


@pytest.mark.parametrize("name", every({"groups and gates"}))
def test_three_updates_with_clipping_decay_and_dropping_agree(name):
    plan, *models = both({**NETS, **DEEP}[name], recompute=True)
    for model in models:
        optimizer = CoupledDecaySGD(
            0.003,
            momentum=0.9,
            nesterov=True,
            weight_decay=1e-1,
            decayed=["*_conv?/kernel", "stage1_unit2_*/gamma"],
            rate_factors={"stage1_*": 0.5, "stage1_unit3_*": 0.0},
            names=weights.names_of(model),
            global_clipnorm=1.0,
        )
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
        for seed in range(3):
            model.train_on_batch(*batch(plan, seed=seed))
    ours, theirs = weights.read(models[1]), weights.read(models[0])
    for parameter, expected in theirs.items():
        assert relative(ours[parameter], expected) < 1e-3, parameter


@pytest.mark.parametrize("fields", [{"drop_path": 0.5}, {"skip": {"kind": "dropout", "rate": 0.5}}], ids=str)
def test_both_forms_drop_the_same_and_anew_at_each_step(fields):
    plan, *models = both({**SMALL, "stages": [{"units": 3, "width": 8}], **fields})
    images, _ = batch(plan, count=16)
    steps = [[model(images, training=True).numpy() for _ in range(3)] for model in models]
    for expected, found in zip(*steps, strict=True):
        assert distance(found, expected) < 1e-4
    for one, other in combinations(steps[1], 2):
        assert distance(one, other) > 1e-2


def test_a_rate_factor_of_nought_keeps_one_unit_of_a_stack():
    plan, _, scanned = both(NETS["full_preact"])
    before = weights.read(scanned)
    scanned.compile(
        CoupledDecaySGD(0.1, weight_decay=1e-2, rate_factors={"stage1_unit3_*": 0.0}, names=weights.names_of(scanned)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    scanned.train_on_batch(*batch(plan))
    after = weights.read(scanned)
    kept = {name for name in plan.weight_names() if np.array_equal(before[name], after[name])}
    assert kept == {name for name in plan.weight_names() if name.startswith("stage1_unit3_")}


@pytest.mark.parametrize("name", ["full_preact", "dropout", "shortcut_gate"])
def test_there_and_back_is_bit_exact(name):
    _, unrolled, scanned = both(NETS[name])
    before = weights.read(unrolled)
    for value in unrolled.weights:
        value.assign(tf.zeros_like(value))
    weights.copy_weights(scanned, unrolled)
    after = weights.read(unrolled)
    assert before.keys() == after.keys()
    for parameter, value in before.items():
        np.testing.assert_array_equal(after[parameter], value)


@pytest.mark.parametrize("name", ["original", "shortcut_gate"])
def test_both_forms_start_from_the_same_numbers(name):
    plan = reskeras.plan(**NETS[name])
    ours, theirs = (
        weights.read(compile_plan(plan, "net", Context(form=form, seed=5))) for form in ("scanned", "unrolled")
    )
    assert ours.keys() == theirs.keys()
    for parameter, value in theirs.items():
        np.testing.assert_array_equal(ours[parameter], value)


def test_bf16_agrees_to_its_precision():
    plan, unrolled, scanned = both(NETS["full_preact"], precision="mixed_bfloat16")
    images, _ = batch(plan)
    assert scanned(images).dtype == tf.float32
    assert distance(scanned(images), unrolled(images)) < 3e-2
    exact = compile_plan(plan, "net")
    weights.copy_weights(scanned, exact)
    assert distance(scanned(images), exact(images)) < 5e-2


def test_recomputing_moves_statistics_once():
    plan, kept, recomputed = both(NETS["original"], recompute=True)
    images, labels = batch(plan)
    for model in (kept, recomputed):
        gradients(model, images, labels)
    ours, theirs = weights.read(recomputed), weights.read(kept)
    for parameter, value in theirs.items():
        if "moving" in parameter:
            assert relative(ours[parameter], value) < 1e-5, parameter


def test_frozen_units_infer_and_do_not_move():
    plan, _, scanned = both(NETS["identity"])
    before = weights.read(scanned)
    for layer in scanned.layers:
        layer.trainable = False
    images, _ = batch(plan)
    assert distance(scanned(images, training=True), scanned(images, training=False)) < 1e-6
    for parameter, value in weights.read(scanned).items():
        if not parameter.endswith("draws"):
            np.testing.assert_array_equal(value, before[parameter])


def test_a_scanned_model_survives_saving(tmp_path):
    plan, _, scanned = both(NETS["exclusive_gate"], recompute=True)
    save_model(scanned, tmp_path / "net.keras")
    images, labels = batch(plan)
    loaded = load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(loaded(images), scanned(images))
    ours, theirs = gradients(loaded, images, labels), gradients(scanned, images, labels)
    for parameter, value in theirs.items():
        np.testing.assert_allclose(ours[parameter], value, rtol=1e-5, atol=1e-6)


def test_units_survive_plain_data():
    for fields in (*NETS.values(), DEEP["inception v4"], DEEP["inception resnet-v2"]):
        for unit in reskeras.plan(**fields).units:
            again = unit_from_data(unit_data(unit))
            assert again == unit
            assert unit_data(again) == unit_data(unit)


def test_endpoints_cut_runs():
    plan = reskeras.plan(**SMALL)
    ends = ["stage1_unit2", "stage2", "logits"]
    unrolled, scanned = (
        compile_plan(plan, "net", Context(form=form, seed=1), outputs=ends) for form in ("unrolled", "scanned")
    )
    images, _ = batch(plan)
    for name, expected in unrolled(images, training=True).items():
        assert distance(scanned(images, training=True)[name], expected) < 1e-5 or name != "logits"


def test_weights_of_another_network_are_refused_by_name():
    other = reskeras.build(**{**SMALL, "stages": [{"units": 4, "width": 8}, {"units": 3, "width": 12}]})
    with pytest.raises(ReskerasError, match="stage1_unit4"):
        weights.copy_weights(reskeras.build(**SMALL), other)
    wider = reskeras.build(**{**SMALL, "classes": 4})
    with pytest.raises(ReskerasError, match="logits/kernel has shape"):
        weights.copy_weights(reskeras.build(**SMALL), wider)


@pytest.mark.parametrize("name", ["shortcut_gate", "dropout"])
def test_a_plan_knows_what_its_weights_are_called(name):
    plan, unrolled, scanned = both(NETS[name])
    for model in (unrolled, scanned):
        trainable = {each for each, (variable, _) in weights.places(model).items() if variable.trainable}
        assert trainable == set(plan.weight_names())


@pytest.mark.parametrize("count", [1, 13, 14, 15, 60])
def test_groups_of_units_are_the_units_one_after_another(count):
    random = np.random.default_rng(count)
    factors, shifts = (tf.Variable(random.normal(1, 0.1, (count, 3)), dtype=tf.float32) for _ in range(2))
    start = tf.Variable(random.normal(size=(2, 3)), dtype=tf.float32)

    def step(x, factor, shift):
        return tf.tanh(x * factor) + shift, tf.reduce_sum(x, axis=0)

    ways = [partial(loop, step, [tf.float32], start, factors, shifts) for loop in (looped, looped_in_groups)]
    found = []
    for way in ways:
        with tf.GradientTape() as tape:
            last, sums = tf.function(way)()
            loss = tf.reduce_sum(last)
        found.append([last, sums, *tape.gradient(loss, [start, factors, shifts])])
    x = start
    for index in range(count):  # by hand
        np.testing.assert_allclose(found[0][1][index], np.sum(x, axis=0), rtol=1e-5, atol=1e-5)
        x, _ = step(x, factors[index], shifts[index])
    np.testing.assert_allclose(found[0][0], x, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("count", "loops"), [(1, 1), (13, 1), (14, 2), (16, 2)])
def test_groups_of_one_unit_have_no_loop_of_their_own(count, loops):
    """It would be traced, and traced again for the backward pass, for nothing."""
    values = tf.ones([count, 3])
    way = partial(looped_in_groups, lambda x, factor: (x * factor,), [], tf.ones([2, 3]), values)
    graph = tf.function(way).get_concrete_function().graph.as_graph_def()
    operations = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert sum(node.op.endswith("While") for node in operations) == loops
