"""The compiled model: counts, names, endpoints, slices, precision, initial values, nesting."""

from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

import reskeras
from reskeras.errors import ReskerasError
from reskeras.graph import compile as compiler
from reskeras.graph.compile import Context, compile_plan
from reskeras.networks.catalog import catalog
from reskeras.networks.inception import InceptionSpec
from reskeras.networks.network import NetworkSpec
from tests.graph.by_hand import distance, randomised

DEEP = 56
TINY = {"family": "cifar", "stages": [2, 2], "classes": 3, "input_shape": [8, 8, 3]}
UNDER_120 = [
    name
    for name, row in catalog().items()
    if not isinstance(row.spec, NetworkSpec) or reskeras.resolve(row.spec).depth < 120
]


def images(count=4, size=8, seed=0):
    return np.random.default_rng(seed).normal(size=(count, size, size, 3)).astype(np.float32)


def sizes(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights if weight.name != "draws")


def one_of_a_kind(names):
    """All names; those that differ from one before in a number of their skip or inside units alone, or are it again,
    are slow; so are deep ones, of whose kinds test_combinations has shallow ones, and Inception networks, of which
    test_inception has small ones."""
    seen = {InceptionSpec}
    for name in names:
        spec = catalog()[name].spec
        kind = name
        if isinstance(spec, InceptionSpec):
            kind = InceptionSpec
        if isinstance(spec, NetworkSpec):
            rows = reskeras.resolve(spec).stages
            kind = tuple((row.units, row.width, row.block, row.order, row.shortcut, row.skip.kind) for row in rows)
        deep = isinstance(spec, NetworkSpec) and reskeras.resolve(spec).depth > DEEP
        yield pytest.param(name, marks=[pytest.mark.slow] if kind in seen or deep else [])
        seen.add(kind)


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", one_of_a_kind(UNDER_120))
def test_keras_counts_what_the_plan_counts(name):
    total = reskeras.plan(name).complexity().total
    model = reskeras.build(name)
    assert sizes(model.trainable_weights) == total.parameters
    assert sizes(model.non_trainable_weights) == total.statistics
    keras.backend.clear_session()


def profiled_multiply_adds(name):
    """Multiply-adds of convolutions and matrix products in the frozen graph, by TensorFlow's own profiler."""
    model = reskeras.build(name)
    function = tf.function(
        lambda image: model(image, training=False),
        input_signature=[tf.TensorSpec([1, *model.input_shape[1:]], tf.float32)],
    ).get_concrete_function()
    graph = convert_variables_to_constants_v2(function).graph
    option = tf.compat.v1.profiler.ProfileOptionBuilder
    options = option(option.float_operation()).with_empty_output().with_accounted_types(["Conv2D", "MatMul"]).build()
    flops = tf.compat.v1.profiler.profile(graph, options=options).total_float_ops
    return flops / 2


@pytest.mark.parametrize(
    "name",
    [
        "cifar-resnet-20",
        "resnet-18-A",
        "cifar-inception-resnet-v2",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (
                "cifar-inception-v4",
                "se-resnet-50",
                "cifar-resnet-110-exclusive-gate-bias-6",
                "cifar-preact-164",
                "plain-34",
                "resnet-50",
                "resnet-50-d",
            )
        ),
    ],
)
def test_multiply_adds_are_those_that_tensorflow_profiles(name):
    assert profiled_multiply_adds(name) == reskeras.plan(name).complexity().multiply_adds


def test_layer_names_are_the_interface():
    names = [layer.name for layer in reskeras.build(**TINY, shortcut="B", skip="shortcut_gate").layers]
    assert len(set(names)) == len(names)
    assert {
        "image",
        "stem_conv",
        "stem_bn",
        "stem_relu",
        "stage1_unit1_conv1",
        "stage1_unit1_bn1",
        "stage1_unit1_relu1",
        "stage1_unit1_conv2",
        "stage1_unit1_bn2",
        "stage1_unit1_add",
        "stage1_unit1_out_relu",
        "stage2_unit1_shortcut_conv",
        "stage2_unit1_shortcut_bn",
        "stage2_unit1_gate_conv",
        "stage2_unit1_gate_sigmoid",
        "head_pool",
        "logits",
    } <= set(names)
    preact = {layer.name for layer in reskeras.build(**TINY, order="full_preact").layers}
    assert {"stage1_unit2_pre_bn1", "stage1_unit2_pre_relu2", "head_bn", "head_relu"} <= preact


def test_option_a_has_no_parameters():
    counts = {option: reskeras.build(**TINY, shortcut=option).count_params() for option in ("none", "A", "B")}
    assert counts["A"] == counts["none"] < counts["B"]


def test_endpoints_give_feature_maps_by_name():
    model = reskeras.build(**TINY, outputs=["stage1", "stage2_unit1", "logits"], seed=1)
    features = model(images())
    assert {name: tuple(value.shape) for name, value in features.items()} == {
        "stage1": (4, 8, 8, 16),
        "stage2_unit1": (4, 4, 4, 32),
        "logits": (4, 3),
    }
    np.testing.assert_array_equal(features["logits"], reskeras.build(**TINY, seed=1)(images()))


def test_a_backbone_and_its_head_are_the_whole():
    whole = randomised(reskeras.build(**TINY))
    body, head = reskeras.build(**TINY, until="stage1"), reskeras.build(**TINY, after="stage1")
    for part in (body, head):
        for layer in part.layers:
            if layer.weights:
                layer.set_weights(whole.get_layer(layer.name).get_weights())
    assert distance(head(body(images())), whole(images())) < 1e-6


def test_an_unknown_endpoint_names_the_choices():
    with pytest.raises(ReskerasError, match="'stage3' is not one of stem, stage1, stage2, head"):
        reskeras.build(**TINY, outputs=["stage3"])


def test_under_bf16_units_compute_in_bf16_and_logits_are_float32():
    model = reskeras.build(**TINY, precision="mixed_bfloat16")
    assert model(images()).dtype == tf.float32
    assert model.get_layer("stage2_unit2_conv1").compute_dtype == "bfloat16"
    assert {weight.dtype for weight in model.weights} == {"float32"}


def test_under_bf16_dropout_of_the_features_leaves_them_float32():
    fields = {**TINY, "precision": "mixed_bfloat16", "seed": 1}
    dropped = reskeras.build(**fields, head={"dropout": 0.5}, skip="dropout")
    assert dropped.get_layer("head_dropout").output.dtype == "float32"
    assert dropped.get_layer("stage1_unit2_shortcut_dropout").output.dtype == "bfloat16"
    np.testing.assert_array_equal(dropped(images()), reskeras.build(**fields, skip="dropout")(images()))


def test_bf16_is_float32_to_its_precision():
    exact = randomised(reskeras.build(**TINY))
    rough = reskeras.build(**TINY, precision="mixed_bfloat16")
    rough.set_weights(exact.get_weights())
    assert 1e-6 < distance(rough(images(32)), exact(images(32))) < 3e-2


def test_the_same_seed_starts_the_same_and_does_not_depend_on_what_else_is_there():
    first, again, other = (reskeras.build(**TINY, seed=seed) for seed in (1, 1, 2))
    longer = reskeras.build(**{**TINY, "stages": [2, 5]}, seed=1)
    name = "stage2_unit2_conv1"
    kernel = first.get_layer(name).kernel.numpy()
    np.testing.assert_array_equal(kernel, again.get_layer(name).kernel)
    np.testing.assert_array_equal(kernel, longer.get_layer(name).kernel)
    assert np.abs(kernel - other.get_layer(name).kernel.numpy()).max() > 0.01
    assert np.abs(kernel - first.get_layer("stage2_unit2_conv2").kernel.numpy()).max() > 0.01


def test_kernels_start_from_a_plain_normal_of_variance_two_over_the_fan_in():
    model = reskeras.build(depth=50, seed=0, input_shape=[32, 32, 3])
    for name, fan_in in (("stage4_unit2_conv2", 9 * 512), ("stage3_unit1_shortcut_conv", 512), ("logits", 2048)):
        values = model.get_layer(name).kernel.numpy().ravel() / np.sqrt(2 / fan_in)
        assert abs(values.mean()) < 0.01
        assert abs(values.std() - 1) < 0.01
        assert 0.043 < (np.abs(values) > 2).mean() < 0.048  # 4.55 % of a normal; a truncated one has none


def test_batch_norm_has_the_papers_numbers_and_zero_gamma_silences_the_last_of_each_unit():
    model = reskeras.build(**TINY, zero_gamma=True)
    for layer in model.layers:
        if "bn" in layer.name:
            assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)
            start = 0 if layer.name.endswith("bn2") else 1
            np.testing.assert_array_equal(layer.gamma, np.full(layer.gamma.shape, start))


@pytest.mark.parametrize("ends", [None, ["stage1_unit2", "logits"]])
def test_nested_models_compute_what_one_flat_graph_does(monkeypatch, ends):
    plan = reskeras.plan(**{**TINY, "stages": [4, 4]})
    flat = compile_plan(plan, "net", Context(seed=3), outputs=ends)
    monkeypatch.setattr(compiler, "FLAT_PATH", 5)
    monkeypatch.setattr(compiler, "NESTED_PATH", 6)
    nested = compile_plan(plan, "net", Context(seed=3), outputs=ends)
    assert any(isinstance(layer, keras.Model) for layer in nested.layers)
    for ours, theirs in zip(tf.nest.flatten(nested(images())), tf.nest.flatten(flat(images())), strict=True):
        assert distance(ours, theirs) < 1e-6
    assert [weight.shape for weight in nested.weights] == [weight.shape for weight in flat.weights]


def every_layer(model):
    """Layers of a model and of the models in it."""
    for layer in model.layers:
        yield from every_layer(layer) if isinstance(layer, keras.Model) else [layer]


def test_nesting_keeps_the_name_of_every_layer(monkeypatch):
    plan = reskeras.plan(**{**TINY, "stages": [4, 4]}, skip="shortcut_gate")
    flat = [layer.name for layer in every_layer(compile_plan(plan, "net")) if layer.weights]
    monkeypatch.setattr(compiler, "FLAT_PATH", 5)
    monkeypatch.setattr(compiler, "NESTED_PATH", 6)
    nested = compile_plan(plan, "net")
    assert sorted(layer.name for layer in every_layer(nested) if layer.weights) == sorted(flat)
    assert len(set(flat)) == len(flat)
    assert {weight.path for weight in nested.weights} == {weight.path for weight in compile_plan(plan, "net").weights}


def test_slices_joined_where_stages_end_are_the_whole():
    fields = {**TINY, "order": "full_preact", "shortcut": "B"}
    whole, plan = randomised(reskeras.build(**fields)), reskeras.plan(**fields)
    x, cuts = images(), [None, "stem", "stage1_unit1", "stage1", "stage2", None]
    for after, until in pairwise(cuts):
        part = compile_plan(plan.slice(after=after, until=until), "part")
        for layer in part.layers:
            if layer.weights:
                layer.set_weights(whole.get_layer(layer.name).get_weights())
        x = part(x)
    assert distance(x, whole(images())) < 1e-6


def test_inception_cells_and_squeeze_and_excitation_need_no_new_node():
    from reskeras.plans import operations as op
    from reskeras.plans.merges import Concat, Multiply
    from reskeras.plans.nodes import Fork
    from reskeras.plans.plan import Plan, Unit

    conv = {"kernel": (1, 1)}
    squeeze = (
        op.GlobalPool(name="squeeze", keep_positions=True),
        op.Conv(name="excite", filters=6, **conv),
        op.Sigmoid(name="gate"),
    )
    cell = Fork(
        name="cell",
        merge=Concat(),
        branches=(
            (op.Conv(name="one", filters=2, **conv),),
            (
                op.Pool(name="average", reduce="average", kernel=(3, 3), stride=(1, 1), padding="same"),
                op.Conv(name="two", filters=4, **conv),
            ),
        ),
    )
    scaled = Fork(name="scaled", branches=((), squeeze), merge=Multiply())
    plan = Plan(units=(Unit(stage="stem", nodes=(cell, scaled)),), input_shape=(8, 8, 3))
    model = compile_plan(plan, "odd")
    x = images()
    kernel = {name: model.get_layer(name).kernel.numpy()[0, 0] for name in ("one", "two", "excite")}
    pooled = tf.nn.avg_pool2d(x, 3, 1, "SAME").numpy()
    joined = np.concatenate([x @ kernel["one"], pooled @ kernel["two"]], axis=-1)
    gate = 1 / (1 + np.exp(-(joined.mean(axis=(1, 2), keepdims=True) @ kernel["excite"])))
    assert distance(model(x), joined * gate) < 1e-5
    assert plan.complexity().parameters == model.count_params() == 2 * 3 + 4 * 3 + 6 * 6
