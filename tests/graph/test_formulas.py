"""Every activation order, shortcut and skip of the papers against its formula written out by hand."""

import numpy as np
import pytest
import tensorflow as tf

import reskeras
from tests.graph.by_hand import Hand, after_add, distance, option_a, preactivated, randomised, residual

ORDERS = ["original", "bn_after_add", "relu_before_add", "relu_preact", "full_preact"]
CONVS = {"single": 1, "basic": 2, "bottleneck": 3}


def small(seed=0, **fields):
    """A two-stage network with every unit's output, and images."""
    fields = {
        "family": "cifar",
        "stages": [{"units": 2, "width": 4}, {"units": 2, "width": 8}],
        "classes": 3,
        "stem": {"convs": [{"kernel": 3, "width": 4}]},
        "input_shape": [8, 8, 3],
        **fields,
    }
    ends = [unit.name for unit in reskeras.plan(**fields).units[:-1]]
    model = randomised(reskeras.build(outputs=[*ends, "logits"], seed=seed, **fields), seed)
    images = np.random.default_rng(seed).normal(size=(5, 8, 8, 3)).astype(np.float32)
    return model, {name: tf.convert_to_tensor(value) for name, value in model(images, training=False).items()}, images


@pytest.mark.sample(6)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("block", CONVS)
def test_an_identity_unit_is_its_formula(order, block):
    model, ends, _ = small(order=order, block=block)
    hand, x = Hand(model, "stage1_unit2"), ends["stage1_unit1"]
    expected = after_add(hand, order, x + residual(hand, order, preactivated(hand, order, x), CONVS[block]))
    assert distance(ends["stage1_unit2"], expected) < 1e-5


@pytest.mark.sample(6)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("block", CONVS)
def test_a_projection_is_a_strided_1x1_convolution_and_shares_the_preactivation(order, block):
    model, ends, _ = small(order=order, block=block, shortcut="B")
    hand, x = Hand(model, "stage2_unit1"), ends["stage1_unit2"]
    shared = preactivated(hand, order, x)
    shortcut = hand.conv(shared, "shortcut_conv", stride=2)
    if order != "full_preact":
        shortcut = hand.bn(shortcut, "shortcut_bn")
    expected = after_add(hand, order, shortcut + residual(hand, order, shared, CONVS[block], stride=2))
    assert distance(ends["stage2_unit1"], expected) < 1e-5


@pytest.mark.parametrize("order", ORDERS)
def test_option_a_subsamples_the_raw_stream_and_adds_zero_channels(order):
    model, ends, _ = small(order=order, shortcut="A")
    hand, x = Hand(model, "stage2_unit1"), ends["stage1_unit2"]
    branch = residual(hand, order, preactivated(hand, order, x), 2, stride=2)
    assert distance(ends["stage2_unit1"], after_add(hand, order, option_a(x, 8, 2) + branch)) < 1e-5


@pytest.mark.parametrize("order", ORDERS)
def test_the_first_unit_shares_its_preactivation_with_the_identity(order):
    model, ends, _ = small(order=order)
    hand, x = Hand(model, "stage1_unit1"), ends["stem"]
    shared = preactivated(hand, order, x)
    expected = after_add(hand, order, shared + residual(hand, order, shared, 2))
    assert distance(ends["stage1_unit1"], expected) < 1e-5
    if order.endswith("preact"):  # the raw stream would be another network
        assert distance(ends["stage1_unit1"], x + residual(hand, order, shared, 2)) > 1e-2


@pytest.mark.parametrize("order", ORDERS)
def test_with_option_c_every_unit_projects_and_shares(order):
    model, ends, _ = small(order=order, shortcut="C")
    hand, x = Hand(model, "stage1_unit2"), ends["stage1_unit1"]
    shared = preactivated(hand, order, x)
    shortcut = hand.conv(shared, "shortcut_conv")
    shortcut = shortcut if order == "full_preact" else hand.bn(shortcut, "shortcut_bn")
    expected = after_add(hand, order, shortcut + residual(hand, order, shared, 2))
    assert distance(ends["stage1_unit2"], expected) < 1e-5


@pytest.mark.parametrize("order", ORDERS)
def test_a_plain_unit_is_its_residual_alone(order):
    model, ends, _ = small(order=order, shortcut="none")
    hand, x = Hand(model, "stage1_unit2"), ends["stage1_unit1"]
    expected = after_add(hand, order, residual(hand, order, preactivated(hand, order, x), 2))
    assert distance(ends["stage1_unit2"], expected) < 1e-5


@pytest.mark.parametrize("order", ORDERS)
def test_stem_and_head_are_what_the_order_says(order):
    model, ends, images = small(order=order)
    stem, head = Hand(model, "stem"), Hand(model, "head")
    x = stem.conv(images, "conv")
    if order == "relu_preact":
        x = stem.bn(x, "bn")
    elif order != "full_preact":
        x = stem.bn_relu(x, "bn")
    assert distance(ends["stem"], x) < 1e-5
    x = ends["stage2_unit2"]
    if order == "full_preact":
        x = head.bn_relu(x, "bn")
    elif order == "relu_preact":
        x = tf.nn.relu(x)
    dense = model.get_layer("logits")
    expected = tf.reduce_mean(x, axis=(1, 2)) @ tf.convert_to_tensor(dense.kernel) + tf.convert_to_tensor(dense.bias)
    assert distance(ends["logits"], expected) < 1e-5


@pytest.mark.parametrize("order", ["original", "full_preact"])
def test_a_whole_network_is_its_formulas_one_after_the_other(order):
    model, ends, images = small(order=order, conv_bias=True, bn={"scale": False, "epsilon": 1e-3})
    epsilon, x = 1e-3, Hand(model, "stem").conv(images, "conv")
    assert all(len(layer.weights) == 2 for layer in model.layers if "conv" in layer.name and layer.weights)
    for unit, stride in (("stage1_unit1", 1), ("stage1_unit2", 1), ("stage2_unit1", 2), ("stage2_unit2", 1)):
        hand = Hand(model, unit, epsilon)
        if order == "original":
            x = Hand(model, "stem", epsilon).bn_relu(x, "bn") if unit == "stage1_unit1" else x
            y = hand.bn(hand.conv(hand.bn_relu(hand.conv(x, "conv1", stride), "bn1"), "conv2"), "bn2")
            x = tf.nn.relu((option_a(x, 8, 2) if stride == 2 else x) + y)
        else:
            first = hand.bn_relu(x, "pre_bn1")
            y = hand.conv(hand.bn_relu(hand.conv(first, "conv1", stride), "pre_bn2"), "conv2")
            x = first if unit == "stage1_unit1" else x
            x = (option_a(x, 8, 2) if stride == 2 else x) + y
    if order == "full_preact":
        x = Hand(model, "head", epsilon).bn_relu(x, "bn")
    dense = Hand(model, "logits", epsilon).weights("")
    assert distance(ends["logits"], tf.reduce_mean(x, axis=(1, 2)) @ dense["kernel"] + dense["bias"]) < 1e-5


def test_each_stage_follows_its_own_order_block_and_width():
    stages = [{"units": 1, "width": 4}, {"units": 2, "width": 2, "block": "bottleneck", "order": "full_preact"}]
    model, ends, images = small(stages=stages, order="bn_after_add", shortcut="B")
    hand, x = Hand(model, "stem"), ends["stage1_unit1"]
    assert distance(ends["stem"], hand.bn_relu(hand.conv(images, "conv"), "bn")) < 1e-5
    hand = Hand(model, "stage2_unit1")
    shared = hand.bn_relu(x, "pre_bn1")
    expected = hand.conv(shared, "shortcut_conv", 2) + residual(hand, "full_preact", shared, 3, 2)
    assert distance(ends["stage2_unit1"], expected) < 1e-5
    pooled = tf.reduce_mean(Hand(model, "head").bn_relu(ends["stage2_unit2"], "bn"), axis=(1, 2))
    assert distance(ends["logits"], model.get_layer("logits")(pooled)) < 1e-5


def test_an_imagenet_stem_is_strided_symmetric_and_pooled_after_its_activation():
    model = randomised(
        reskeras.build(
            family="imagenet",
            stages=[1, 1, 1, 1],
            block="basic",
            order="full_preact",
            input_shape=[64, 64, 3],
            classes=2,
            outputs=["stem"],
        )
    )
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    stem = Hand(model, "stem")
    x = stem.bn_relu(stem.conv(images, "conv", stride=2), "bn")
    padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=-np.inf)
    assert distance(model(images)["stem"], tf.nn.max_pool2d(padded, 3, 2, "VALID")) < 1e-5


@pytest.mark.parametrize(("stride_on", "strides"), [("first_1x1", (2, 1)), ("3x3", (1, 2))])
def test_a_bottleneck_strides_where_it_is_told(stride_on, strides):
    model, ends, _ = small(block="bottleneck", stride_on=stride_on)
    hand, x = Hand(model, "stage2_unit1"), ends["stage1_unit2"]
    y = hand.bn_relu(hand.conv(x, "conv1", strides[0]), "bn1")
    y = hand.bn(hand.conv(hand.bn_relu(hand.conv(y, "conv2", strides[1]), "bn2"), "conv3"), "bn3")
    expected = tf.nn.relu(hand.bn(hand.conv(x, "shortcut_conv", 2), "shortcut_bn") + y)
    assert distance(ends["stage2_unit1"], expected) < 1e-5


def test_downsample_last_strides_in_the_last_unit_and_subsamples_its_identity():
    model, ends, _ = small(block="bottleneck", order="full_preact", downsample="last", stride_on="3x3")
    hand, x = Hand(model, "stage1_unit2"), ends["stage1_unit1"]
    y = hand.conv(hand.bn_relu(x, "pre_bn1"), "conv1")
    y = hand.conv(hand.bn_relu(y, "pre_bn2"), "conv2", 2)
    expected = x[:, ::2, ::2] + hand.conv(hand.bn_relu(y, "pre_bn3"), "conv3")
    assert distance(ends["stage1_unit2"], expected) < 1e-5


def test_an_imagenet_stem_with_same_padding_is_tensorflows():
    model = randomised(
        reskeras.build(family="imagenet", stages=[1], padding="same", input_shape=[32, 32, 3], outputs=["stem"])
    )
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    x = tf.nn.conv2d(images, tf.convert_to_tensor(model.get_layer("stem_conv").kernel), 2, "SAME")
    expected = tf.nn.max_pool2d(Hand(model, "stem").bn_relu(x, "bn"), 3, 2, "SAME")
    assert distance(model(images)["stem"], expected) < 1e-5


def test_same_padding_is_tensorflows():
    model, ends, _ = small(padding="same")
    x, kernel = ends["stage1_unit2"], tf.convert_to_tensor(model.get_layer("stage2_unit1_conv1").kernel)
    hand = Hand(model, "stage2_unit1")
    y = hand.bn_relu(tf.nn.conv2d(x, kernel, 2, "SAME"), "bn1")
    expected = tf.nn.relu(option_a(x, 8, 2) + hand.bn(hand.conv(y, "conv2"), "bn2"))
    assert distance(ends["stage2_unit1"], expected) < 1e-5


class TestSkips:
    """v2 figure 2 and section 3.1, on an identity unit and on one that changes shape."""

    @pytest.mark.sample(6)
    @pytest.mark.parametrize(
        ("unit", "before", "stride"), [("stage1_unit2", "stage1_unit1", 1), ("stage2_unit1", "stage1_unit2", 2)]
    )
    @pytest.mark.parametrize("order", ["original", "full_preact"])
    @pytest.mark.parametrize("kind", ["scale", "exclusive_gate", "shortcut_gate", "dropout"])
    def test_each_skip_is_its_formula(self, kind, order, unit, before, stride):
        numbers = {"scale": {"shortcut": 0.3, "residual": 0.7}, "dropout": {"rate": 0.4}}.get(kind, {"bias": -1.5})
        model, ends, _ = small(order=order, shortcut="A", skip={"kind": kind, **numbers})
        hand, x = Hand(model, unit), ends[before]
        channels = ends[unit].shape[-1]
        shortcut = option_a(x, channels, stride)
        branch = residual(hand, order, preactivated(hand, order, x), 2, stride)
        if kind == "scale":
            merged = 0.3 * shortcut + 0.7 * branch
        elif kind == "dropout":
            merged = 0.6 * shortcut + branch  # the expectation of dropping 0.4 without scaling up
        else:
            gate = tf.sigmoid(hand.conv(x, "gate_conv", stride))
            merged = (1 - gate) * shortcut + (gate if kind == "exclusive_gate" else 1) * branch
        assert distance(ends[unit], after_add(hand, order, merged)) < 1e-5

    @pytest.mark.sample(8)
    @pytest.mark.parametrize("unit", ["stage1_unit1", "stage2_unit1"])
    @pytest.mark.parametrize("order", ["original", "relu_preact", "full_preact"])
    @pytest.mark.parametrize("kind", ["scale", "exclusive_gate", "shortcut_gate", "dropout"])
    def test_each_skip_acts_on_a_projection_and_shares_the_preactivation(self, kind, order, unit):
        numbers = {"scale": {"shortcut": 0.3, "residual": 0.7}, "dropout": {"rate": 0.4}}.get(kind, {"bias": -1.5})
        model, ends, _ = small(order=order, shortcut="B", skip={"kind": kind, **numbers})
        hand, stride = Hand(model, unit), 2 if unit == "stage2_unit1" else 1
        shared = shortcut = preactivated(hand, order, ends["stage1_unit2" if stride == 2 else "stem"])
        if stride == 2:
            shortcut = hand.conv(shared, "shortcut_conv", 2)
            shortcut = shortcut if order == "full_preact" else hand.bn(shortcut, "shortcut_bn")
        branch = residual(hand, order, shared, 2, stride)
        if kind == "scale":
            merged = 0.3 * shortcut + 0.7 * branch
        elif kind == "dropout":
            merged = 0.6 * shortcut + branch
        else:
            gate = tf.sigmoid(hand.conv(shared, "gate_conv", stride))
            merged = (1 - gate) * shortcut + (gate if kind == "exclusive_gate" else 1) * branch
        assert distance(ends[unit], after_add(hand, order, merged)) < 1e-5

    def test_conv1x1_is_option_c(self):
        assert (
            reskeras.plan(family="cifar", depth=20, skip="conv1x1").units
            == reskeras.plan(family="cifar", depth=20, shortcut="C").units
        )

    @pytest.mark.parametrize(
        ("kind", "bias"), [("shortcut_gate", 0.0), ("shortcut_gate", -6.0), ("exclusive_gate", -6.0)]
    )
    def test_gates_start_at_their_bias_everywhere(self, kind, bias):
        model = reskeras.build(family="cifar", depth=20, skip={"kind": kind, "bias": bias})
        gates = [layer for layer in model.layers if layer.name.endswith("gate_conv")]
        assert len(gates) == 9
        for gate in gates:
            np.testing.assert_array_equal(gate.bias, np.full(gate.filters, bias, np.float32))

    @pytest.mark.parametrize("rate", [0.5, 0.2])
    def test_dropout_in_training_keeps_elements_as_they_are(self, rate):
        model, _, images = small(
            order="full_preact", skip={"kind": "dropout", "rate": rate}, stages=[{"units": 2, "width": 4}]
        )
        last = model.get_layer("stage1_unit2_conv2")
        last.kernel.assign(tf.zeros_like(last.kernel))  # the unit is its shortcut alone
        ends = model(np.repeat(images, 40, axis=0), training=True)
        x, y = ends["stage1_unit1"].numpy(), ends["stage1_unit2"].numpy()
        kept = y != 0
        np.testing.assert_allclose(y[kept], x[kept], rtol=1e-6)
        assert abs(kept[x != 0].mean() - (1 - rate)) < 0.02
        assert (kept.mean(axis=(1, 2)) > 0).all()  # elements, not whole maps


def test_drop_path_drops_whole_images_and_scales_up_the_others():
    model, _, images = small(drop_path=0.5, order="full_preact", stages=[{"units": 2, "width": 4}])
    hand, many = Hand(model, "stage1_unit2"), np.repeat(images, 60, axis=0)
    for layer in model.layers:
        if "bn" in layer.name:
            layer.trainable = False  # statistics of the batch would couple the images
    ends = {name: tf.convert_to_tensor(value) for name, value in model(many, training=True).items()}
    x = ends["stage1_unit1"]
    branch = residual(hand, "full_preact", preactivated(hand, "full_preact", x), 2).numpy()
    added = (ends["stage1_unit2"] - x).numpy()
    ratio = added.reshape(300, -1).std(axis=1) / branch.reshape(300, -1).std(axis=1)
    assert ((ratio < 1e-6) | (np.abs(ratio - 2) < 1e-3)).all()  # the last unit's rate is drop_path: 1 / (1 - 0.5)
    assert 0.35 < (ratio < 1e-6).mean() < 0.65


def test_drop_path_grows_linearly_to_its_rate_at_the_last_unit():
    # stochastic depth, section 3: survival from 1 before the first unit to 1 - rate at the last
    model, _, _ = small(drop_path=0.4)
    rates = [layer.rate for layer in model.layers if layer.name.endswith("drop_path")]
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.3, 0.4])


def test_a_plain_stage_drops_no_path():
    model, _, _ = small(drop_path=0.4, stages=[{"units": 2, "width": 4, "shortcut": "none"}, {"units": 2, "width": 8}])
    assert [layer.name for layer in model.layers if layer.name.endswith("drop_path")] == [
        "stage2_unit1_drop_path",
        "stage2_unit2_drop_path",
    ]
