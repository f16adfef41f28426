"""Measurements inside networks against Keras' own layer outputs, hand-made surgery, and the papers' equations."""

from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.analysis.activations import survey
from reskeras.analysis.gradients import gradients
from reskeras.analysis.lesions import REMOVED, SWAPPED, exchanged, lesions, spaced, swappable
from reskeras.analysis.responses import AFTER_BN, AFTER_CONV, taps
from reskeras.analysis.tapped import removable, run
from reskeras.graph.watched import as_tensors
from reskeras.graph.weights import read
from reskeras.machine import memory
from tests.graph.by_hand import randomised

ORDERS = ("original", "bn_after_add", "relu_before_add", "relu_preact", "full_preact")
SMALL = {"family": "cifar", "stages": [3, 2], "input_shape": [8, 8, 1], "classes": 4}
IMAGES = np.random.default_rng(3).normal(size=(12, 8, 8, 1)).astype(np.float32)
LABELS = np.arange(12, dtype=np.int32) % 4


def made(**fields):
    spec = reskeras.network(**SMALL, **fields)
    model = randomised(reskeras.build(spec, seed=2))
    return reskeras.plan(spec), model, read(model)


def batches(size=5):
    return tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(size)


def inside(model, *names):
    outputs = {name: model.get_layer(name).output for name in names}
    seen = keras.Model(model.inputs[0], outputs)(IMAGES)
    return {name: value.numpy().astype(np.float64) for name, value in seen.items()}


@pytest.mark.parametrize(
    "fields",
    [
        *({"order": order} for order in ORDERS),
        {"shortcut": "none"},
        {"skip": "scale"},
        {"skip": "exclusive_gate"},
        {"block": "bottleneck"},
    ],
)
def test_a_plan_run_as_a_function_is_the_model(fields):
    plan, model, weights = made(**fields)
    expected = model(IMAGES, training=False).numpy()
    np.testing.assert_allclose(run(plan, as_tensors(weights), IMAGES), expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("order", ORDERS)
def test_responses_are_deviations_of_what_keras_layers_give(order):
    plan, model, weights = made(order=order)
    found = survey(plan, weights, batches())
    expected = inside(model, *(tap.node for tap in taps(plan)))
    for tap, response in zip(taps(plan), found.responses, strict=True):
        assert response.deviation == pytest.approx(expected[tap.node].std(), rel=1e-4)
        assert response.layer == tap.layer
    assert len(found.responses) == 1 + 2 * 5


def test_responses_of_the_original_are_read_after_batch_norm_and_those_of_preactivation_where_none_follows():
    original = taps(reskeras.plan(reskeras.network(**SMALL)))
    assert [(tap.node, tap.where) for tap in original if "stage1_unit1" in tap.layer] == [
        ("stage1_unit1_bn1", AFTER_BN),
        ("stage1_unit1_bn2", AFTER_BN),
    ]
    preact = taps(reskeras.plan(reskeras.network(**SMALL, order="full_preact")))
    assert [(tap.node, tap.where) for tap in preact if "stage1_unit1" in tap.layer] == [
        ("stage1_unit1_pre_bn2", AFTER_BN),
        ("stage1_unit1_conv2", AFTER_CONV),
    ]


def test_only_the_spatial_convolutions_of_a_bottleneck_respond():
    plan = reskeras.plan(reskeras.network(**SMALL, block="bottleneck"))
    assert [tap.layer for tap in taps(plan)][1:3] == ["stage1_unit1_conv2", "stage1_unit2_conv2"]


def test_the_shortcut_share_and_ratio_are_those_of_the_branches():
    plan, model, weights = made()
    unit = next(each for each in survey(plan, weights, batches()).units if each.unit == "stage1_unit2")
    seen = inside(model, "stage1_unit1_out_relu", "stage1_unit2_bn2", "stage1_unit2_add")
    shortcut, residual, total = seen.values()
    np.testing.assert_allclose(shortcut + residual, total, atol=1e-4)
    assert unit.shortcut_share == pytest.approx((shortcut * total).sum() / (total * total).sum(), rel=1e-4)
    assert unit.residual_ratio == pytest.approx(np.sqrt((residual**2).mean() / (shortcut**2).mean()), rel=1e-4)


@pytest.mark.parametrize(
    ("order", "exact"), [("full_preact", True), ("relu_preact", True), ("original", False), ("bn_after_add", False)]
)
def test_the_stream_is_a_sum_of_residuals_where_nothing_follows_the_addition(order, exact):
    plan, _, weights = made(order=order)
    errors = {unit.unit: unit.sum_error for unit in survey(plan, weights, batches()).units}
    assert (
        [name for name, error in errors.items() if error is not None]
        == ["stage1_unit2", "stage1_unit3", "stage2_unit2"]
        if exact
        else errors["stage1_unit3"] is not None
    )
    worst = max(error for error in errors.values() if error is not None)
    assert (worst < 1e-6) == exact


def test_a_scaled_shortcut_is_no_sum():
    plan, _, weights = made(order="full_preact", skip="scale")
    assert all(unit.sum_error is None for unit in survey(plan, weights, batches()).units)


def test_effective_depth_adds_up_the_residuals_parts():
    plan, _, weights = made()
    units = survey(plan, weights, batches()).units
    assert units[0].depth == 1
    for before, unit in pairwise(units[:-1]):
        assert unit.depth == pytest.approx(before.depth + 2 * (1 - np.clip(unit.shortcut_share, 0, 1)))
    assert units[-1].depth < plan.weighted_layers()


@pytest.mark.parametrize(("turned", "bound"), [(-0.5, 0.0), (-3.0, 2.0)])
def test_a_residual_against_its_shortcut_counts_for_nothing_or_for_all(turned, bound):
    """Shares of an output below 0 and above 1 make a network neither less deep nor deeper than its layers."""
    plan, _, weights = made(order="relu_preact")
    delta = np.zeros((3, 3, 16, 16), np.float32)
    delta[1, 1] = np.eye(16)
    same = {"gamma": 1.0, "beta": 0.0, "moving_mean": 0.0, "moving_variance": 1.0}
    for name, value in weights.items():  # the unit's residual is what goes in, rectified, times `turned`
        unit, _, role = name.partition("_conv") if "_conv" in name else name.partition("_bn")
        if unit == "stage1_unit1":
            weights[name] = delta if role.endswith("kernel") else np.full_like(value, same[role.partition("/")[2]])
    weights["stage1_unit1_bn2/gamma"] *= turned
    weights["stem_bn/beta"] += 9.0  # what goes in is above 0
    stem, unit, *_ = survey(plan, weights, batches()).units
    assert unit.shortcut_share == pytest.approx(1 / (1 + turned), rel=0.05)
    assert unit.depth == stem.depth + bound


def test_a_plain_net_is_as_deep_as_its_layers():
    plan, _, weights = made(shortcut="none")
    units = survey(plan, weights, batches()).units
    assert units[-1].depth == plan.weighted_layers() == 12
    assert {unit.shortcut_share for unit in units} == {None}


def test_measuring_does_not_depend_on_how_images_are_batched():
    plan, _, weights = made()
    one, other = (survey(plan, weights, batches(size)) for size in (5, 12))
    for first, second in zip((*one.responses, *one.units), (*other.responses, *other.units), strict=True):
        for field, value in vars(first).items():
            if isinstance(value, float) and not np.isnan(value):
                assert value == pytest.approx(getattr(second, field), rel=1e-4, abs=1e-6)
    assert one.accuracy == other.accuracy


def test_gradient_norms_are_those_of_keras_in_training():
    plan, model, weights = made()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(
            keras.losses.sparse_categorical_crossentropy(LABELS, model(IMAGES, training=True), from_logits=True)
        )
    slopes = zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True)
    squares = {}
    for variable, slope in slopes:
        unit = (
            "_".join(variable.path.split("_")[:2])
            if variable.path.startswith("stage")
            else ("stem" if variable.path.startswith("stem") else "head")
        )
        squares[unit] = squares.get(unit, 0.0) + float(tf.reduce_sum(slope**2))
    found = gradients(plan, weights, tf.constant(IMAGES), tf.constant(LABELS))
    assert found.keys() == squares.keys()
    for unit, square in squares.items():
        assert found[unit][0] == pytest.approx(np.sqrt(square), rel=1e-3)


def test_the_gradient_of_a_units_output_is_that_of_the_network_after_it():
    plan, _, weights = made()
    tensors = as_tensors(weights)
    stream = run(plan.slice(until="stage1_unit2"), tensors, IMAGES, batch_statistics=True)
    with tf.GradientTape() as tape:
        tape.watch(stream)
        logits = run(plan.slice(after="stage1_unit2"), tensors, stream, batch_statistics=True)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(LABELS, logits, from_logits=True))
    found = gradients(plan, weights, tf.constant(IMAGES), tf.constant(LABELS))["stage1_unit2"][1]
    assert found == pytest.approx(float(tf.norm(tape.gradient(loss, stream))), rel=1e-4)


@pytest.mark.parametrize(
    ("fields", "unit"),
    [
        ({}, "stage1_unit2"),
        ({}, "stage2_unit1"),
        ({"order": "full_preact"}, "stage1_unit2"),
        ({"skip": "exclusive_gate"}, "stage1_unit3"),
    ],
)
def test_a_removed_unit_is_a_network_whose_residual_is_zero(fields, unit):
    plan, model, weights = made(**fields)
    silent = {
        name: np.zeros_like(value)
        if name.startswith(f"{unit}_")
        and ("_conv2/" in name or name.endswith(("_bn2/gamma", "_bn2/beta")))
        and "pre" not in name
        else value
        for name, value in weights.items()
    }
    from reskeras.graph.weights import write

    write(model, silent)
    kept = tf.constant([float(each.name != unit) for each in plan.units])
    expected = model(IMAGES, training=False)
    np.testing.assert_allclose(run(plan, as_tensors(weights), IMAGES, kept=kept), expected, atol=1e-3)


def test_a_removed_plain_unit_is_passed_by():
    plan, _, weights = made(shortcut="none")
    assert removable(plan) == ["stage1_unit1", "stage1_unit2", "stage1_unit3", "stage2_unit2"]
    others = tuple(unit for unit in plan.units if unit.name != "stage1_unit2")
    shorter = type(plan)(units=others, input_shape=plan.input_shape)
    kept = tf.constant([float(unit.name != "stage1_unit2") for unit in plan.units])
    tensors = as_tensors(weights)
    np.testing.assert_allclose(run(plan, tensors, IMAGES, kept=kept), run(shorter, tensors, IMAGES), atol=1e-4)


def test_swapped_units_run_in_the_other_order():
    plan, _, weights = made()
    tensors = as_tensors(weights)
    names = [unit.name for unit in plan.units]
    one, other = names.index("stage1_unit2"), names.index("stage1_unit3")
    units = list(plan.units)
    units[one], units[other] = units[other], units[one]
    expected = run(type(plan)(units=tuple(units), input_shape=plan.input_shape), tensors, IMAGES)
    swapped = run(plan, exchanged(plan, tensors, "stage1_unit2", "stage1_unit3"), IMAGES)
    np.testing.assert_allclose(swapped, expected, atol=1e-5)
    assert np.abs(swapped - run(plan, tensors, IMAGES)).max() > 1e-3


def test_units_that_differ_are_not_swapped():
    plan = reskeras.plan(reskeras.network(**SMALL))
    assert [(one.name, other.name) for one, other in swappable(plan)] == [
        ("stage1_unit1", "stage1_unit2"),
        ("stage1_unit2", "stage1_unit3"),
    ]


def test_equal_neighbours_of_two_stages_are_not_swapped():
    single = {**SMALL, "stages": [{"units": 1, "width": 8}] * 3, "stem": {"convs": [{"width": 8}]}}
    plan = reskeras.plan(reskeras.network(**single, downsample="last"))
    assert plan.units[1] == plan.units[2]  # though of two stages
    assert swappable(plan) == []
    longer = reskeras.plan(reskeras.network(**{**SMALL, "stages": [3, 3]}))
    assert [(one.name, other.name) for one, other in swappable(longer)] == [
        ("stage1_unit1", "stage1_unit2"),
        ("stage1_unit2", "stage1_unit3"),
        ("stage2_unit2", "stage2_unit3"),
    ]


def test_lesions_are_bounded_counted_and_scored():
    plan, _, weights = made()
    told = []
    found = lesions(plan, weights, batches(), 2, lambda done, of: told.append((done, of)))
    assert [(each.kind, each.units) for each in found] == [
        (REMOVED, ("stage1_unit1",)),
        (REMOVED, ("stage2_unit2",)),
        (SWAPPED, ("stage1_unit1", "stage1_unit2")),
        (SWAPPED, ("stage1_unit2", "stage1_unit3")),
    ]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    kept = tf.constant([float(unit.name != "stage1_unit1") for unit in plan.units])
    top = run(plan, as_tensors(weights), IMAGES, kept=kept).numpy().argmax(axis=1)
    assert found[0].accuracy == pytest.approx((top == LABELS).mean())


@pytest.mark.parametrize(
    ("count", "most", "expected"), [(5, 9, [0, 1, 2, 3, 4]), (9, 3, [0, 4, 8]), (5, 0, []), (5, 1, [0])]
)
def test_spaced_items_keep_the_ends(count, most, expected):
    assert spaced(list(range(count)), most) == expected


def test_a_batch_has_as_many_images_as_the_plan_s_activations_allow():
    from reskeras.analysis.analysis import BATCH, MOST_ACTIVATIONS, batch_size

    for name in ("cifar-resnet-20", "cifar-preact-164", "cifar-preact-1001", "resnet-152"):
        plan = reskeras.network(name).lower()
        size, kept = batch_size(plan), plan.complexity().total.activation_bytes
        assert kept(size) <= MOST_ACTIVATIONS
        assert size == BATCH or kept(size + 1) > min(MOST_ACTIVATIONS, memory() // 8)
    assert batch_size(reskeras.network("cifar-resnet-20").lower()) == BATCH
