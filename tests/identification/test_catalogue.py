"""The claim that every named network is recognised from its graph, whatever its layers are called."""

from __future__ import annotations

import pytest

import reskeras
from reskeras.errors import ReskerasError
from reskeras.networks.catalog import catalog, name_of
from reskeras.networks.inception import InceptionSpec
from tests.identification.configs import all_names, config_of, described, renamed

SHALLOW = 60
HEAVY = ("vgg-19",)  # its first dense layer
SMALL = {True: [64, 64, 3], False: [16, 16, 3]}  # imagenet, cifar


def depth_of(name):
    spec = catalog()[name].spec
    return spec.depth or reskeras.resolve(spec).depth


def small(name):
    """The catalogued network on images small enough to compile quickly; its stages stay."""
    spec = reskeras.network(name)
    if isinstance(spec, InceptionSpec):
        return reskeras.network(name, input_shape=[32, 32, 3] if spec.stem == "small" else [75, 75, 3], classes=7)
    imagenet = name == "vgg-19" or reskeras.resolve(spec).family == "imagenet"
    fields = {"dense": [8]} if name == "vgg-19" else {}
    return reskeras.network(name, input_shape=SMALL[imagenet], classes=7, **fields)


def nodes(units):
    return [node for unit in units for node in unit.nodes]


def check(name):
    wanted = small(name)
    config = config_of(wanted)
    before = set(all_names(config))
    config = renamed(config)
    assert not before & set(all_names(config))
    found = reskeras.conform(described(config))
    assert found.exact, found
    assert reskeras.plan(found.spec) == reskeras.plan(wanted)
    if name != "vgg-19":
        assert found.name == name_of(wanted)
        assert found.paper == name_of(wanted) or reskeras.plan(found.paper) == reskeras.plan(name)
        assert found.deviations == ()


@pytest.mark.sample(8)
@pytest.mark.parametrize("name", [name for name in catalog() if depth_of(name) <= SHALLOW and name not in HEAVY])
def test_a_shallow_network_of_the_catalogue_is_named_from_its_renamed_graph(name):
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in catalog() if depth_of(name) > SHALLOW or name in HEAVY])
def test_a_deep_network_of_the_catalogue_is_named_from_its_renamed_graph(name):
    check(name)


BLOCKS = ("basic", "bottleneck", "single")
ORDERS = ("original", "bn_after_add", "relu_before_add", "relu_preact", "full_preact")
WAYS = [
    {"shortcut": "none"},
    {"shortcut": "A"},
    {"shortcut": "B"},
    {"shortcut": "C"},
    {"skip": "scale"},
    {"skip": "exclusive_gate"},
    {"skip": "shortcut_gate"},
    {"skip": "dropout"},
]


@pytest.mark.sample(24)
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map("-".join, way.items())))
def test_every_block_order_shortcut_and_skip_is_recovered(block, order, way):
    wanted = reskeras.network(
        family="cifar", stages=[2, 2], block=block, order=order, input_shape=[8, 8, 3], **{"shortcut": "B", **way}
    )
    found = reskeras.conform(described(renamed(config_of(wanted))))
    assert found.exact, found
    ours, theirs = reskeras.plan(found.spec).units, reskeras.plan(wanted).units
    assert nodes(ours) == nodes(theirs)
    # without additions units are a way of speaking; where every shortcut projects, the ReLU after an addition is
    # the one before the next unit, and original is relu_preact
    assert ours == theirs or way.get("shortcut") in ("none", "C")


OTHERS = [
    {"padding": "same"},
    {"bn": {"momentum": 0.99, "epsilon": 1e-3}},
    {"bn": {"scale": False}},
    {"conv_bias": True},
    {"activation": "gelu"},
    {"activation": "silu", "squeeze": 4},
    {"initialiser": "dirac"},
    {"head": {"scale": 0.125}},
    {"stem": {"convs": [{"kernel": 2, "width": 24, "bn": False}]}, "activation": "gelu"},
    {"stem": {"convs": [{"kernel": 2, "width": 24, "bn": False}, {"width": 8, "stride": 2}]}},
    {"stem": {"convs": [{"kernel": 3, "width": 8, "bn": False}]}, "order": "full_preact"},
    {"stem": {"convs": [{"kernel": 3, "width": 8, "bn": False}]}, "conv_bias": True},
    {"initialiser": "glorot_uniform"},
    {"head": {"pool": "max", "dropout": 0.3}},
    {"drop_path": 0.2},
    {"zero_gamma": True},
    {"downsample": "last"},
    {"block": "bottleneck", "stride_on": "3x3"},
    {"width_factor": 2},
    {"stem": {"convs": [{"kernel": 3, "width": 8, "stride": 2}, {"kernel": 3, "width": 12}], "pool": {"kernel": 2}}},
    {"stages": [{"units": 1, "width": 8}, {"units": 2, "width": 8, "stride": 1, "skip": "scale"}]},
    {"stages": [{"units": 2, "width": 8}, {"units": 2, "width": 8, "stride": 2, "order": "full_preact"}]},
    {"stages": [{"units": 2, "width": 8}, {"units": 2, "width": 12, "shortcut": "none"}]},
]


@pytest.mark.sample(6)
@pytest.mark.parametrize("fields", OTHERS, ids=lambda fields: next(iter(fields)))
def test_every_other_field_is_recovered(fields):
    wanted = reskeras.network(
        **{"family": "cifar", "stages": [2, 3], "shortcut": "B", "input_shape": [16, 16, 3], **fields}
    )
    found = reskeras.conform(described(renamed(config_of(wanted))))
    assert found.exact
    assert reskeras.plan(found.spec).units == reskeras.plan(wanted).units


INSIDE = [
    {"groups": 4},
    {"inner_factor": 2.0},
    {"groups": 2, "inner_factor": 0.5},
    {"squeeze": 4},
    {"projection": "pooled"},
    {"squeeze": 16, "squeeze_multiple": 3},
    {"squeeze": 8, "order": "full_preact", "drop_path": 0.1},
    {
        "order": "full_preact",
        "downsample": "last",
        "conv_bias": True,
        "stem": {"convs": [{"kernel": 7, "width": 8, "stride": 2}], "pool": {"border": "edge"}, "activated": False},
    },
]


@pytest.mark.parametrize("fields", INSIDE, ids=str)
def test_what_later_residual_networks_have_is_recovered(fields):
    wanted = reskeras.network(
        family="imagenet",
        block="bottleneck",
        stages=[{"units": 2, "width": 8}, {"units": 2, "width": 12}],
        **{"input_shape": [32, 32, 3], **fields},
    )
    found = reskeras.conform(described(renamed(config_of(wanted))))
    assert found.exact
    assert reskeras.plan(found.spec).units == reskeras.plan(wanted).units


def test_what_the_first_shortcut_takes_is_recovered():
    basic = {"family": "cifar", "stages": [2, 2], "input_shape": [16, 16, 3], "order": "full_preact"}
    raw = reskeras.network(**basic, first_shortcut="raw")
    assert reskeras.conform(described(renamed(config_of(raw)))).spec.first_shortcut == "raw"
    assert reskeras.conform(described(renamed(config_of(**basic)))).spec.first_shortcut is None


@pytest.mark.parametrize(
    "fields",
    [
        {"cells": [2, 1, 3]},
        {"scaling": [0.3, 0.1, 1.0]},
        {"last_linear": True},
        {"final_width": 100},
        {"width_factor": 0.3, "dropout": 0.0},
        {"bn": {"scale": False, "epsilon": 1e-3}, "initialiser": "glorot_uniform"},
    ],
    ids=str,
)
def test_every_field_of_an_inception_network_is_recovered(fields):
    wanted = reskeras.network("cifar-inception-resnet-v2", **fields)
    found = reskeras.conform(described(renamed(config_of(wanted))))
    assert found.exact
    assert found.spec.model_dump(exclude={"name"}) == wanted.model_dump(exclude={"name"})
    assert {each.field.partition(".")[0] for each in found.deviations} == set(fields)
    assert all("1602.07261" in each.section for each in found.deviations)


def test_an_inception_network_with_another_cell_is_none_of_this_space():
    config = config_of("cifar-inception-v4")
    conv = next(layer for layer in config["layers"] if layer["name"] == "stage1_unit1_branch2_conv2")
    conv["config"]["filters"] += 1
    found = reskeras.conform(described(config))
    assert found.spec is None
    assert found.why


def test_a_vgg_of_other_widths_is_held_against_vgg_19(tmp_path):
    wanted = reskeras.network("vgg-19", units=[1, 2], widths=[4, 6], dense=[5], input_shape=[8, 8, 3], classes=3)
    found = reskeras.conform(described(renamed(config_of(wanted))))
    assert found.exact
    assert reskeras.plan(found.spec) == reskeras.plan(wanted)
    assert (found.name, found.paper) == ("vgg-5", "vgg-19")
    assert {each.field for each in found.deviations} == {"units", "widths", "dense"}
    assert reskeras.plan(found.write(tmp_path / "vgg.yaml")) == reskeras.plan(wanted)


def test_what_is_told_is_short():
    spec = reskeras.conform(described(config_of("cifar-resnet-20", order="full_preact"))).spec
    assert spec.sparse() == {"depth": 20, "order": "full_preact"}


def test_a_depth_that_no_table_has_is_held_against_the_rule():
    found = reskeras.conform(described(config_of(reskeras.network(family="cifar", depth=14, shortcut="B"))))
    assert found.spec.sparse() == {"depth": 14, "shortcut": "B"}
    [deviation] = found.deviations
    assert (deviation.field, deviation.paper, deviation.value) == ("stages.0..2.shortcut", "A", "B")
    assert "v1 section 3.3" in deviation.section


def test_a_residual_net_is_held_against_a_residual_one_however_it_projects():
    """As keras.io's example of CIFAR-10 does: option B, biases, Keras' own padding, momentum and epsilon."""
    made = reskeras.network(
        family="cifar", depth=20, shortcut="B", padding="same", conv_bias=True, bn={"momentum": 0.99, "epsilon": 1e-3}
    )
    found = reskeras.conform(described(renamed(config_of(made))))
    assert found.exact
    assert found.paper == "cifar-resnet-20"
    plain = reskeras.conform(described(config_of(family="cifar", depth=20, shortcut="none", conv_bias=True)))
    assert plain.paper == "cifar-plain-20"


def test_a_nested_model_is_opened():
    import keras

    body = reskeras.build("cifar-preact-110-1layer", until="stage3")
    whole = keras.Sequential(
        [body, keras.Sequential([keras.layers.ReLU(), keras.layers.GlobalMaxPooling2D()]), keras.layers.Dense(4)]
    )
    found = reskeras.conform(whole)
    assert (found.spec.classes, found.spec.head.pool, found.paper) == (4, "max", "cifar-preact-110-1layer")
    assert [(step.sign, step.words) for step in found.obstacles[0].steps] == [("-", "bn")]


def test_a_chain_of_nested_models_is_opened(monkeypatch):
    from reskeras.graph import compile as compiling

    monkeypatch.setattr(compiling, "FLAT_PATH", 20)
    monkeypatch.setattr(compiling, "NESTED_PATH", 12)
    config = config_of("cifar-resnet-20")
    assert sum("layers" in layer["config"] for layer in config["layers"]) == 3
    assert reskeras.conform(described(renamed(config))).name == "cifar-resnet-20"


def test_a_network_is_not_named_after_its_neighbours():
    names = {reskeras.conform(described(config_of(name))).name for name in ("resnet-18-A", "resnet-18-B", "plain-18")}
    assert names == {"resnet-18-A", "resnet-18", "plain-18"}


def test_an_impossible_spec_is_no_error():
    config = config_of(family="cifar", stages=[1, 1], skip="scale", input_shape=[8, 8, 3])
    for layer in config["layers"]:
        if layer["class_name"] == "ScaledAdd":
            layer["config"]["factors"] = [2.0, 1.0]
    found = reskeras.conform(described(config))
    assert found.spec is None
    assert "skip.shortcut: 2.0" in found.why
    with pytest.raises(ReskerasError, match="not a network in this design space"):
        found.write("never.yaml")
