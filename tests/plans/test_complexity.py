"""Claims about costs and activation memory, against counts made by hand on two tiny networks."""

from __future__ import annotations

import pytest

import reskeras

# One basic unit, identity shortcut, 4x4 image of one channel, two channels inside. Kept for the backward pass:
#
#   image 4x4x1                  16   input of stem_conv
#   stem_conv 4x4x2              32   input of stem_bn
#   stem_relu                    32   its own output; also the input of conv1
#   conv1                        32   input of bn1
#   relu1                        32   its own output
#   conv2                        32   input of bn2
#   bn2, add                      -   an addition needs nothing
#   out_relu                     32   its own output
#   global average pool           2   input of the dense layer
#                               ---
#                               210
ORIGINAL = {
    "stem": {"convs": [{"kernel": 3, "width": 2}]},
    "stages": [{"units": 1, "width": 2}],
    "shortcut": "B",
    "input_shape": [4, 4, 1],
    "classes": 3,
}
# parameters      stem 9x1x2 + bn 2x2; conv1 9x2x2 + bn 4; conv2 36 + bn 4; dense 2x3 + 3
# multiply-adds   stem 18 x 16; conv1 and conv2 36 x 16 each; dense 2 x 3
ORIGINAL_COST = {
    "parameters": 22 + 40 + 40 + 9,
    "statistics": 12,
    "multiply_adds": 288 + 576 + 576 + 6,
    "activations": 210,
}

# One strided pre-activation unit with a shortcut-only gate and option A, from two channels to four:
#
#   image 4x4x1                  16   input of stem_conv
#   stem_conv 4x4x2              32   input of the shared bn
#   shared relu                  32   its own output; input of pool, pad and gate
#   shortcut subsample 2x2x2      8   a max-pool needs input and output
#   shortcut pad_channels 2x2x4  16   factor of the gate's product
#   pad 6x6x2                    72   input of conv1
#   conv1 2x2x4                  16   input of bn2
#   relu2                        16   its own output
#   conv2                        16   an end of the gated sum
#   gate sigmoid                 16   its own output
#   gated sum                    16   input of the head's bn
#   head relu                    16   its own output
#   global average pool           4   input of the dense layer
#                               ---
#                               276
GATED = {
    "stem": {"convs": [{"kernel": 3, "width": 2}]},
    "stages": [{"units": 1, "width": 4, "stride": 2}],
    "shortcut": "A",
    "skip": "shortcut_gate",
    "order": "full_preact",
    "input_shape": [4, 4, 1],
    "classes": 3,
}
# parameters      stem 18; shared bn 4; conv1 9x2x4; bn2 8; conv2 9x4x4; gate 2x4 + 4; head bn 8; dense 4x3 + 3
# multiply-adds   stem 18 x 16; conv1 72 x 4; conv2 144 x 4; gate 8 x 4; dense 4 x 3
GATED_COST = {
    "parameters": 18 + 4 + 72 + 8 + 144 + 12 + 8 + 15,
    "statistics": 20,
    "multiply_adds": 288 + 288 + 576 + 32 + 12,
    "activations": 276,
}

NETWORKS = {"original": (ORIGINAL, ORIGINAL_COST), "gated": (GATED, GATED_COST)}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("figure", ["parameters", "statistics", "multiply_adds", "activations"])
def test_a_tiny_network_costs_what_a_hand_counts(name, figure):
    fields, expected = NETWORKS[name]
    assert getattr(reskeras.plan(**fields).complexity().total, figure) == expected[figure]


def test_units_are_charged_for_what_they_make():
    units = {unit.name: unit.cost for unit in reskeras.plan(**ORIGINAL).complexity().units}
    assert units["stem"].activations == 16 + 32 + 32  # the image counts with the first unit
    assert units["stage1_unit1"].activations == 4 * 32
    assert units["head"].activations == 2
    assert units["stem"].parameters == 22
    assert units["stage1_unit1"].multiply_adds == 2 * 576


def test_units_add_up_to_the_whole():
    for name in ("preact-18", "cifar-resnet-110-exclusive-gate-bias-6", "vgg-19"):
        complexity = reskeras.plan(name).complexity()
        for figure in ("parameters", "statistics", "multiply_adds", "activations"):
            assert sum(getattr(unit.cost, figure) for unit in complexity.units) == getattr(complexity.total, figure)


def test_activation_bytes_grow_with_the_batch_and_shrink_with_the_precision():
    total = reskeras.plan(**ORIGINAL).complexity().total
    assert total.activation_bytes(1) == 210 * 4
    assert total.activation_bytes(32) == 210 * 4 * 32
    assert total.activation_bytes(32, "mixed_bfloat16") == 210 * 2 * 32
    assert total.activation_bytes(32, "mixed_float16") == 210 * 2 * 32


def test_classes_and_input_cost_what_they_should():
    small = reskeras.plan("cifar-resnet-20").complexity().total
    wide = reskeras.plan("cifar-resnet-20", classes=100).complexity().total
    large = reskeras.plan("cifar-resnet-20", input_shape=(64, 64, 3)).complexity().total
    assert wide.parameters - small.parameters == 65 * 90
    assert large.parameters == small.parameters
    assert large.multiply_adds - 640 == 4 * (small.multiply_adds - 640)  # all but the dense layer


def test_a_bias_on_every_convolution_is_counted():
    plain, biased = (reskeras.plan("cifar-resnet-20", conv_bias=bias).complexity().total for bias in (False, True))
    assert biased.parameters - plain.parameters == 16 + 6 * (16 + 32 + 64)
    assert biased.multiply_adds == plain.multiply_adds


def test_batch_norm_without_scale_has_one_parameter_a_channel():
    plain = reskeras.plan("cifar-resnet-20").complexity().total
    unscaled = reskeras.plan("cifar-resnet-20", bn={"scale": False}).complexity().total
    assert plain.parameters - unscaled.parameters == 16 + 6 * (16 + 32 + 64)
    assert unscaled.statistics == plain.statistics == 2 * (16 + 6 * (16 + 32 + 64))


def test_a_dropped_shortcut_keeps_its_mask():
    assert reskeras.plan(**ORIGINAL | {"skip": "dropout"}).complexity().total.activations == 210 + 4 * 4 * 2
