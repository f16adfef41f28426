"""Networks in their integer form: the same function before rounding, ranges, whole biases, and exact arithmetic."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from reskeras.graph.compile import compile_plan
from reskeras.graph.integer_arithmetic import computed, range_of
from reskeras.graph.integers import calibrated, from_pixels, input_steps, integer_form, settled
from reskeras.graph.load import load_model, save_model
from reskeras.graph.watched import as_tensors, run_watched
from reskeras.graph.weights import write
from reskeras.plans import merges
from reskeras.plans import operations as op
from reskeras.plans.integers import Negate
from reskeras.plans.nodes import Fork
from reskeras.plans.plan import Plan, Unit
from tests.graph import whole_numbers
from tests.graph.integer_networks import NETWORKS, integers, network, normalised
from tests.graph.test_fold import shaken

KEPT = {"original": ["stage2_unit1_conv1", "logits"], "vgg": ["head_dense1"], "inception-v4": []}


def unrounded(plan, weights, images):
    """The output of an integer form as if nothing were rounded, operation by operation."""

    def pass_on(node, parts, made):
        return parts[0] if isinstance(node, op.Quantise) else made

    bare = plan.mapped(lambda node: replace(node, weight_bits=None) if isinstance(node, op.Conv) else node)
    return run_watched(bare, as_tensors(weights), tf.constant(images), pass_on).numpy()


def assert_lively(values):
    assert np.isfinite(values).all()
    assert np.ptp(values, axis=0).max() > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_before_rounding_it_is_the_same_function(name):
    _, plan, weights = network(name)
    images = normalised(plan, 3)
    expected = run_watched(plan, as_tensors(weights), tf.constant(images), lambda node, parts, made: made).numpy()
    assert_lively(expected)
    before = {key: value.copy() for key, value in weights.items()}
    found = unrounded(*integer_form(plan, weights), images)
    assert np.abs(found - expected).max() < 3e-6 * np.abs(expected).max()
    assert all(np.array_equal(before[key], weights[key]) for key in before)  # not changed in place


@pytest.mark.parametrize("name", KEPT)
def test_with_layers_kept_in_float_it_is_the_same_function(name):
    _, plan, weights = network(name)
    kept = KEPT[name] or [last_before_a_join(plan)]
    made, held = integer_form(plan, weights, kept=kept)
    assert sum(isinstance(node, Negate) for node in made.ops()) == len(kept)
    images = normalised(plan, 3)
    expected = unrounded(*integer_form(plan, weights), images)
    assert np.abs(unrounded(made, held, images) - expected).max() < 3e-6 * np.abs(expected).max()
    ready = settled(made, calibrated(made, held, images))
    found, graph = computed(made, ready, images), run_watched(made, as_tensors(ready), tf.constant(images), as_made)
    assert np.abs(found.real - graph.numpy()).max() < 6 * found.step  # ties that are rounded otherwise add up


def as_made(node, parts, made):
    return made


def last_before_a_join(plan):
    """A convolution whose result is concatenated."""
    for unit in plan.units:
        for fork in unit.nodes:
            if isinstance(fork, Fork) and isinstance(fork.merge, merges.Concat):
                return next(node.name for node in reversed(fork.branches[-1]) if isinstance(node, op.Conv))
    raise AssertionError


@pytest.mark.sample(12)
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_exact_arithmetic_is_that_of_whole_numbers(name, bits):
    plan, weights = integers(name, bits)
    images = normalised(plan, 4, seed=2)
    found, expected = computed(plan, weights, images), whole_numbers.answers(plan, weights, images)
    np.testing.assert_array_equal(found.values, expected.centred)
    assert (found.step, found.zero) == (expected.step, expected.zero)
    assert np.ptp(found.values) > 50


@pytest.mark.sample(12)
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_each_operation_is_that_of_the_graph_within_a_step(name, bits):
    """Of the graph that rounds in float32, each operation on what exact arithmetic found before it."""
    plan, weights = integers(name, bits)
    images = normalised(plan, 4, seed=3)
    exact = {}
    computed(plan, weights, images, lambda node, made: exact.setdefault(node.name, made))
    apart = {}

    def compare(node, parts, made):
        if not isinstance(node, op.Quantise):
            return made
        of = exact[node.name]
        apart[node.name] = np.abs(made.numpy() - of.real) / of.step
        return tf.constant(of.real)

    run_watched(plan, as_tensors(weights), tf.constant(images), compare)
    assert apart.keys() == exact.keys()
    # a sum of two fixed-point factors may be off by a little more than the half step of rounding
    assert max(each.max() for each in apart.values()) < 1.01
    # kernels of 4 bits have few values, so that many sums lie halfway between two steps
    assert np.mean([np.mean(each < 0.01) for each in apart.values()]) > (0.97 if bits == 8 else 0.9)


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", ["original", "full_preact", "pooled", "vgg", "inception-v4"])
def test_the_compiled_model_computes_it_and_survives_saving(name, tmp_path):
    plan, weights = integers(name)
    images = normalised(plan, 8, seed=2)
    model = compile_plan(plan, "integers")
    write(model, weights)
    found, exact = model(images, training=False).numpy(), computed(plan, weights, images)
    assert np.abs(found - exact.real).max() < 4 * exact.step
    save_model(model, tmp_path / "net.keras")
    np.testing.assert_array_equal(load_model(tmp_path / "net.keras")(images, training=False), found)


def test_kernels_of_four_bits_have_fifteen_values():
    _plan, weights = integers("original", 4)
    kernel = weights["stage2_unit1_conv2/kernel"]
    whole, step = whole_numbers.whole_kernel(kernel, 4)
    assert set(np.unique(whole)) <= set(range(-7, 8))
    assert np.all(np.abs(whole).max(axis=(0, 1, 2)) == 7)
    assert np.abs(whole * step - kernel).max() <= step.max() / 2 * 1.001


def test_ranges_are_the_extremes_over_all_batches(monkeypatch):
    _, plan, weights = network("original")
    made, held = integer_form(plan, weights)
    batches = [normalised(plan, 5, seed) * scale for seed, scale in ((1, 0.5), (2, 3.0), (3, 1.0))]
    monkeypatch.setattr("reskeras.graph.integers.BATCH", 4)
    found = calibrated(made, held, np.concatenate(batches))
    met = {}

    def watch(node, parts, value):
        if isinstance(node, op.Quantise):
            met.setdefault(node.name, []).append(parts[0].numpy())
            return parts[0]
        return value

    for batch in batches:
        run_watched(made, as_tensors(held), tf.constant(batch), watch)
    for name, values in met.items():
        low, high = (min(0, *(each.min() for each in values)), max(0, *(each.max() for each in values)))
        assert found[f"{name}/low"] == pytest.approx(low, rel=1e-5, abs=1e-6)
        assert found[f"{name}/high"] == pytest.approx(high, rel=1e-5, abs=1e-6)
    assert found["image_range/high"] == np.max(batches)
    assert found["stem_relu_range/low"] == 0
    assert not held["image_range/high"]  # not changed in place


def test_zero_is_one_of_the_values_of_every_range():
    plan, weights = integers("full_preact")
    for node in plan.ops():
        if isinstance(node, op.Quantise):
            step, zero = range_of(node, weights)
            assert step > 0
            assert -128 <= zero <= 127


@pytest.mark.parametrize("bits", [8, 4])
def test_settled_biases_are_whole_multiples_and_next_to_what_they_were(bits):
    _, plan, weights = network("full_preact")
    made, held = integer_form(plan, weights, bits)
    held = calibrated(made, held, normalised(plan, 8))
    ready = settled(made, held)
    changed = 0
    for node, step in input_steps(made, ready):
        unit = np.float64(step) * whole_numbers.whole_kernel(held[f"{node.name}/kernel"], bits)[1]
        multiples = ready[f"{node.name}/bias"] / unit
        assert np.all(np.abs(multiples - np.rint(multiples)) <= 1e-3 + 1e-6 * np.abs(multiples))
        off = np.abs(ready[f"{node.name}/bias"] - held[f"{node.name}/bias"])
        assert np.all(off <= unit / 2 * 1.001 + 1e-7)
        changed += np.any(off > 0)
    assert changed
    assert {name for name in held if not np.array_equal(held[name], ready[name])} <= {
        f"{node.name}/bias" for node, _ in input_steps(made, ready)
    }
    again = settled(made, ready)
    assert all(np.allclose(again[name], ready[name], rtol=1e-6) for name in ready)


@pytest.mark.parametrize("by_pixel", [False, True])
def test_from_pixels_it_normalises(by_pixel):
    _, plan, weights = network("original")
    made, held = integer_form(plan, weights)
    rng = np.random.default_rng(0)
    mean = rng.uniform(90, 150, plan.input_shape if by_pixel else 3).astype(np.float32)
    std = np.array([50, 60, 70], np.float32)
    images = rng.integers(0, 256, (4, *plan.input_shape)).astype(np.float32)
    whole, ready = from_pixels(made, held, mean, std)
    expected = unrounded(made, held, ((images - mean) / std).astype(np.float32))
    # the offset itself is a map of 256 values
    allowed = 1e-3 if by_pixel else 1e-5
    assert np.abs(unrounded(whole, ready, images) - expected).max() < allowed * np.abs(expected).max()
    ready = settled(whole, calibrated(whole, ready, images))
    found = computed(whole, ready, images)
    np.testing.assert_array_equal(found.values, whole_numbers.answers(whole, ready, images).centred)


def test_a_dead_network_and_a_range_of_no_width_give_zero():
    plan, weights = integers("original")
    dead = {name: np.zeros_like(value) for name, value in weights.items()}
    images = normalised(plan, 2)
    assert not computed(plan, dead, images).values.any()
    assert not run_watched(plan, as_tensors(dead), tf.constant(images), as_made).numpy().any()


def test_a_convolution_of_four_bits_into_finer_steps_than_its_own():
    """The factor from its steps to the next range's is more than 1."""
    nodes = (
        op.Quantise(name="image_range", fixed=(-8.0, 8.0)),
        op.Conv(name="c", filters=2, kernel=(1, 1), bias=True, weight_bits=4),
        op.Quantise(name="c_range", fixed=(-0.5, 0.5)),
    )
    plan = Plan(units=(Unit(stage="a", nodes=nodes),), input_shape=(3, 3, 2))
    weights = settled(plan, shaken(plan))
    images = (normalised(plan, 4) / 50).astype(np.float32)
    found = computed(plan, weights, images)
    np.testing.assert_array_equal(found.values, whole_numbers.answers(plan, weights, images).centred)
    graph = run_watched(plan, as_tensors(weights), tf.constant(images), as_made).numpy()
    assert np.abs(found.real - graph).max() < 1.01 * found.step
