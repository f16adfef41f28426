"""The claim that keras.applications' residual networks are told apart, with the deviations that they truly have."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

import reskeras
from reskeras.errors import ReskerasError
from tests.graph.by_hand import distance, randomised
from tests.identification.configs import described, renamed

DEPTHS = [50, pytest.param(101, marks=pytest.mark.slow), pytest.param(152, marks=pytest.mark.slow)]
NUMBERS = {"conv_bias", "bn.momentum", "bn.epsilon", "initialiser"}


def application(name, **arguments):
    return getattr(keras.applications, name)(weights=None, **arguments)


def hidden(model):
    """The model's graph with every layer renamed."""
    return described(renamed(json.loads(json.dumps(model.get_config()))))


@pytest.mark.parametrize("depth", DEPTHS)
def test_v1_is_the_papers_network_but_for_numbers(depth):
    found = reskeras.conform(hidden(application(f"ResNet{depth}")))
    assert (found.paper, found.exact, found.softmax) == (f"resnet-{depth}", True, True)
    assert {each.field: (each.paper, each.value) for each in found.deviations} == {
        "conv_bias": (False, True),
        "bn.momentum": (0.9, 0.99),
        "bn.epsilon": (1e-5, 1.001e-5),
        "initialiser": ("he_normal", "glorot_uniform"),
    }
    assert found.spec.sparse()["depth"] == depth


@pytest.mark.parametrize("depth", DEPTHS)
def test_v2_strides_in_the_last_unit_of_a_stage_and_pools_a_raw_stem(depth):
    found = reskeras.conform(hidden(application(f"ResNet{depth}V2")))
    assert (found.paper, found.exact) == (f"preact-{depth}", True)
    deviations = {each.field: (each.paper, each.value) for each in found.deviations}
    assert deviations.keys() == {*NUMBERS, "downsample", "stride_on", "stem.activated"}
    assert deviations["downsample"] == ("first", "last")
    assert deviations["stride_on"] == ("first_1x1", "3x3")
    assert deviations["stem.activated"] == (True, False)


def test_inception_resnet_v2_is_the_released_one():
    found = reskeras.conform(hidden(application("InceptionResNetV2", input_shape=(75, 75, 3))))
    assert (found.paper, found.exact, found.softmax) == ("inception-resnet-v2-released", True, True)
    assert {each.field for each in found.deviations} == {"initialiser", "dropout"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet50", "ResNet50V2"])
def test_the_written_spec_of_50_layers_gives_their_logits(name, tmp_path):
    size = (64, 64, 3)
    theirs = randomised(application(name, input_shape=size, classes=5, classifier_activation=None))
    found = reskeras.conform(theirs)
    assert not found.softmax
    ours = reskeras.build(found.write(tmp_path / "spec.yaml"))
    copy_by_unit(theirs, ours)
    images = np.random.default_rng(1).uniform(0, 1, (2, *size)).astype(np.float32)
    assert distance(ours(images, training=False), theirs(images, training=False)) < 1e-4


def copy_by_unit(theirs, ours):
    """Weights in order of the graph, those of shortcuts to shortcuts."""

    def ordered(model):
        return [layer for layer in model.layers if layer.weights]

    left = ordered(theirs)
    for layer in ordered(ours):
        shapes = [weight.shape for weight in layer.weights]
        match = next(
            each
            for each in left
            if type(each).__name__.endswith(type(layer).__name__[-6:])
            and [weight.shape for weight in each.weights] == shapes[: len(each.weights)]
            and ("shortcut" in layer.name) == ("_0_" in each.name)
        )
        weights = match.get_weights()  # a convolution of theirs may have no bias
        layer.set_weights([*weights, *(np.zeros(shape) for shape in shapes[len(weights) :])])
        left.remove(match)
    assert not left


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("MobileNet", "depthwise 3x3 conv (13)"),
        ("MobileNetV2", "depthwise 3x3 conv (17)"),
        pytest.param("EfficientNetB0", "depthwise 3x3 conv (7), depthwise 5x5 conv (9)", marks=pytest.mark.slow),
        pytest.param("DenseNet121", "pools between or after its units", marks=pytest.mark.slow),
        pytest.param("InceptionV3", "pools between or after its units", marks=pytest.mark.slow),
    ],
)
def test_another_kind_of_network_is_none_of_this_space(name, why):
    found = reskeras.conform(hidden(application(name)))
    assert (found.spec, found.exact, found.deviations) == (None, False, ())
    assert why in found.why
    with pytest.raises(ReskerasError, match="not a network in this design space"):
        found.write("never.yaml")


def test_a_backbone_lacks_its_head():
    found = reskeras.conform(hidden(application("ResNet50", include_top=False, input_shape=(None, None, 3))))
    assert (found.paper, found.exact) == ("resnet-50", False)
    [obstacle] = found.obstacles
    assert (obstacle.units, {step.sign for step in obstacle.steps}) == ("head", {"-"})
    assert {each.field for each in found.deviations} == NUMBERS
