"""Activations, dirac starts, the scale of logits and a stem without batch norm, against PyTorch and NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.errors import ReskerasError
from reskeras.graph.compile import compile_plan
from reskeras.graph.functions import OPERATIONS, UnitTensors
from reskeras.graph.keras_layers import Context
from reskeras.graph.layers import Dirac
from reskeras.graph.weights import copy_weights, read
from reskeras.plans import operations as op
from reskeras.plans.plan_data import unit_data

torch = pytest.importorskip("torch")
TINY = {
    "family": "cifar",
    "stem": {"convs": [{"width": 8}]},
    "stages": [{"units": 4, "width": 8}],
    "input_shape": [8, 8, 3],
    "classes": 5,
}
THEIRS = {"relu": torch.nn.functional.relu, "gelu": torch.nn.functional.gelu, "silu": torch.nn.functional.silu}


@pytest.mark.parametrize("activation", THEIRS)
@pytest.mark.parametrize("form", ["unrolled", "scanned"])
def test_every_nonlinearity_is_the_one_asked_for_with_its_gradient(activation, form):
    spec = reskeras.network(**TINY, activation=activation)
    model = reskeras.build(spec, seed=1, form=form)
    other = compile_plan(spec.lower(), "other", Context(form="unrolled" if form == "scanned" else "scanned", seed=2))
    copy_weights(model, other)
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    weights = {name: torch.tensor(value, requires_grad="kernel" in name) for name, value in read(model).items()}
    theirs = by_torch(weights, torch.tensor(images), THEIRS[activation])
    np.testing.assert_allclose(model(images), theirs.detach().numpy(), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(other(images), theirs.detach().numpy(), rtol=1e-3, atol=1e-4)
    theirs.square().sum().backward()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(images)))
    [found] = tape.gradient(loss, [model.get_layer("stem_conv").kernel])
    expected = weights["stem_conv/kernel"].grad.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
    plain = reskeras.plan(**TINY)
    kinds = {node.kind for node in spec.lower().ops()} - {node.kind for node in plain.ops()}
    assert kinds == {activation} - {"relu"}


@pytest.mark.parametrize("activation", THEIRS)
def test_nonlinearities_are_exact(activation):
    node = op.ACTIVATIONS[activation](name="it")
    grid = np.linspace(-6, 6, 1001, dtype=np.float32)
    wanted = THEIRS[activation](torch.tensor(grid)).numpy()
    tensors = UnitTensors({}, False, False, lambda each: None)
    np.testing.assert_allclose(OPERATIONS[type(node)](node, tf.constant(grid), tensors), wanted, atol=2e-6)
    np.testing.assert_allclose(Context().layer(node)(grid), wanted, atol=2e-6)


def by_torch(weights, images, activate):
    """Logits of TINY: a stem, four basic units, a dense layer."""
    x = images.permute(0, 3, 1, 2)

    def conv_bn(x, conv, norm):
        kernel = weights[f"{conv}/kernel"].permute(3, 2, 0, 1)
        moments = (weights[f"{norm}/{role}"] for role in ("moving_mean", "moving_variance", "gamma", "beta"))
        return torch.nn.functional.batch_norm(torch.nn.functional.conv2d(x, kernel, padding=1), *moments, eps=1e-5)

    x = activate(conv_bn(x, "stem_conv", "stem_bn"))
    for unit in range(1, 5):
        name = f"stage1_unit{unit}"
        inside = activate(conv_bn(x, f"{name}_conv1", f"{name}_bn1"))
        shortcut = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, 8 - x.shape[1]))
        x = activate(conv_bn(inside, f"{name}_conv2", f"{name}_bn2") + shortcut)
    return x.mean((2, 3)) @ weights["logits/kernel"] + weights["logits/bias"]


@pytest.mark.parametrize("shape", [(3, 3, 4, 6), (3, 3, 6, 4), (1, 1, 5, 5), (2, 2, 3, 8), (5, 1, 2, 2)])
def test_dirac_is_pytorchs_on_the_first_filters_and_its_default_on_the_others(shape):
    rows, columns, channels, filters = shape
    ours = np.asarray(Dirac(1 / 3, "fan_in", "uniform", seed=3)(shape))
    theirs = torch.nn.init.dirac_(torch.empty(min(channels, filters), channels, rows, columns)).numpy()
    np.testing.assert_array_equal(ours[..., :channels], theirs.transpose(2, 3, 1, 0))
    bound = 1 / np.sqrt(rows * columns * channels)
    rest = ours[..., channels:]
    if rest.size:
        assert bound * 0.6 < np.abs(rest).max() <= bound and len(np.unique(rest)) == rest.size


def test_dirac_starts_convolutions_in_both_forms_but_neither_gates_nor_logits():
    fields = {**TINY, "initialiser": "dirac", "squeeze": 2}
    models = [reskeras.build(form=form, seed=1, **fields) for form in ("unrolled", "scanned")]
    values, others = map(read, models)
    assert all(np.array_equal(values[name], others[name]) for name in values)
    identity = np.zeros((3, 3, 8, 8))
    identity[1, 1] = np.eye(8)
    np.testing.assert_array_equal(values["stage1_unit3_conv2/kernel"], identity)
    np.testing.assert_array_equal(values["stem_conv/kernel"][1, 1, :, :3], np.eye(3))
    assert np.abs(values["stage1_unit1_se_conv1/kernel"]).min() > 0
    kernel = values["logits/kernel"]
    assert np.abs(kernel).max() <= 1 / np.sqrt(8) and len(np.unique(kernel)) == kernel.size
    model = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(models[0].get_layer("stem_conv")))
    assert type(model.kernel_initializer) is Dirac
    with pytest.raises(ReskerasError, match="no identity for 2 groups"):
        reskeras.plan(depth=50, groups=2, initialiser="dirac")


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_logits_are_scaled_in_float32(precision):
    plain, scaled = (reskeras.network(**TINY, head={"scale": scale}).lower() for scale in (1.0, 1 / 9))
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    before, after = (compile_plan(plan, "net", Context(precision, seed=1)) for plan in (plain, scaled))
    assert after(images).dtype == tf.float32
    np.testing.assert_allclose(after(images), before(images) / 9, rtol=1e-6)
    assert after.layers[-1].name == "logits_scale"
    assert plain.complexity().total == scaled.complexity().total and plain.output_shape == scaled.output_shape
    names = compile_plan(scaled, "net", Context(seed=1), outputs=("logits",))(images)
    np.testing.assert_allclose(names["logits"], compile_plan(scaled, "net", Context(seed=1))(images))


def test_a_stem_without_batch_norm_is_a_biased_convolution_and_the_activation():
    stem = {"convs": [{"kernel": 2, "width": 24, "bn": False}, {"width": 8, "stride": 2}]}
    plan = reskeras.plan(**{**TINY, "stem": stem})
    assert [node.kind for node in plan.units[0].nodes] == ["pad", "conv", "relu", "pad", "conv", "bn", "relu"]
    biased = [node.name for node in plan.ops() if isinstance(node, op.Conv) and node.bias]
    assert biased == ["stem_conv1"]
    assert plan.unit_shapes()[0] == (4, 4, 8)


def test_checkpoints_of_networks_that_have_none_of_it_are_known_by_the_same_data():
    skips = reskeras.plan(**{**TINY, "skip": "dropout"})
    scales = [
        each for node in unit_data(skips.units[1])["nodes"][0]["branches"] for each in node if each["kind"] == "scale"
    ]
    assert scales and all(each.keys() == {"kind", "name", "factor"} for each in scales)
    head = unit_data(reskeras.plan(**TINY, head={"scale": 2.0}).units[-1])["nodes"][-1]
    assert head["float32"] is True
