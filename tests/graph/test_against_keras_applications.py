"""keras.applications' ResNet50, after its stem ResNet50V2, and InceptionResNetV2 are ours, weight for weight."""

import re

import keras
import numpy as np
import pytest

import reskeras
from tests.graph.by_hand import distance

SIZE = 96


def their_name(name):
    if name in ("stem_conv", "stem_bn", "logits"):
        return {"stem_conv": "conv1_conv", "stem_bn": "conv1_bn", "logits": "predictions"}[name]
    stage, unit, kind, number = re.match(r"stage(\d)_unit(\d+)_(?:shortcut_)?(conv|bn)(\d?)", name).groups()
    return f"conv{int(stage) + 1}_block{unit}_{number or 0}_{kind}"


def calibrated(model, rng, size=SIZE):
    """Random biases, scales and shifts, and the statistics that real numbers have under them."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            if layer.scale:
                layer.gamma.assign(rng.uniform(0.5, 1.5, layer.gamma.shape))
            layer.beta.assign(rng.normal(0, 0.3, layer.beta.shape))
            layer.momentum = 0.0
        elif isinstance(layer, keras.layers.Conv2D) and layer.use_bias:
            layer.bias.assign(rng.normal(0, 0.3, layer.bias.shape))
    model(rng.uniform(0, 1, (8, size, size, 3)).astype(np.float32), training=True)
    return model


def test_resnet_50_with_their_weights_gives_their_logits():
    rng = np.random.default_rng(0)
    theirs = calibrated(
        keras.applications.ResNet50(weights=None, classifier_activation=None, input_shape=(SIZE, SIZE, 3)), rng
    )
    # their convolutions have biases and their batch norm another epsilon; the bias goes into the mean
    ours = reskeras.build("resnet-50", input_shape=[SIZE, SIZE, 3], bn={"epsilon": 1.001e-5})
    for layer in ours.layers:
        if not layer.weights:
            continue
        source = theirs.get_layer(their_name(layer.name))
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(source.kernel)
        elif isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = source.get_weights()
            bias = theirs.get_layer(source.name.replace("_bn", "_conv")).bias.numpy()
            layer.set_weights([gamma, beta, mean - bias, variance])
        else:
            layer.set_weights(source.get_weights())
    images = rng.uniform(0, 1, (4, SIZE, SIZE, 3)).astype(np.float32)
    expected = theirs(images, training=False).numpy()
    assert np.ptp(expected, axis=0).max() > 0.1
    assert distance(ours(images, training=False), expected) < 1e-4


def their_v2_name(name):
    if name in ("head_bn", "logits"):
        return {"head_bn": "post_bn", "logits": "predictions"}[name]
    stage, unit, kind = re.match(r"stage(\d)_unit(\d+)_(.*)", name).groups()
    kinds = {
        "shortcut_conv": "0_conv",
        "conv1": "1_conv",
        "conv2": "2_conv",
        "conv3": "3_conv",
        "pre_bn1": "preact_bn",
        "pre_bn2": "1_bn",
        "pre_bn3": "2_bn",
    }
    return f"conv{int(stage) + 1}_block{unit}_{kinds[kind]}"


def test_after_the_stem_preact_50_with_their_v2_weights_gives_their_logits():
    # their stem has no batch norm before its max-pool; from there on theirs strides in each stage's last unit,
    # in the 3x3, and has biases where no batch norm follows at once
    rng = np.random.default_rng(0)
    theirs = calibrated(
        keras.applications.ResNet50V2(weights=None, classifier_activation=None, input_shape=(SIZE, SIZE, 3)), rng
    )
    ours = reskeras.build(
        "preact-50",
        input_shape=[SIZE, SIZE, 3],
        bn={"epsilon": 1.001e-5},
        conv_bias=True,
        downsample="last",
        stride_on="3x3",
        after="stem",
    )
    named = [layer for layer in ours.layers if layer.weights]
    assert len({their_v2_name(layer.name) for layer in named}) == len(named)
    for layer in named:
        weights = theirs.get_layer(their_v2_name(layer.name)).get_weights()
        if re.search(r"_conv[12]$", layer.name):  # theirs has none
            weights.append(np.zeros(layer.filters))
        layer.set_weights(weights)
    images = rng.uniform(0, 1, (4, SIZE, SIZE, 3)).astype(np.float32)
    split = keras.Model(theirs.input, [theirs.get_layer("pool1_pool").output, theirs.output])
    pooled, expected = split(images, training=False)
    assert np.ptp(expected, axis=0).max() > 0.1
    assert distance(ours(pooled, training=False), expected) < 1e-4


def in_order(layers, kind, prefix):
    """Of `layers` those of `kind` that Keras numbered, in the order in which they were made."""
    numbered = [layer for layer in layers if isinstance(layer, kind) and re.fullmatch(rf"{prefix}(_\d+)?", layer.name)]
    return sorted(numbered, key=lambda layer: int(layer.name.removeprefix(prefix).lstrip("_") or 0))


def their_inception_layers(theirs, ours):
    """Their layer for each of our layers with weights; both were made cell by cell and branch by branch."""
    kinds = {"conv": (keras.layers.Conv2D, "conv2d"), "bn": (keras.layers.BatchNormalization, "batch_normalization")}
    unnamed = {kind: iter(in_order(theirs.layers, *what)) for kind, what in kinds.items()}
    added = {
        kind: iter([layer for layer in theirs.layers if re.fullmatch(rf"{kind}_\d+_conv", layer.name)])
        for kind in ("block35", "block17", "block8")
    }
    pairs = {"head_conv": "conv_7b", "head_bn": "conv_7b_bn", "logits": "predictions"}
    for layer in ours.layers:
        if layer.name in pairs:
            yield layer, theirs.get_layer(pairs[layer.name])
        elif layer.name.endswith("_expansion_conv"):
            yield layer, next(added[{"1": "block35", "2": "block17", "3": "block8"}[layer.name[5]]])
    for kind, made in unnamed.items():
        for each in (each for each in reskeras.plan("inception-resnet-v2-released").ops() if each.kind == kind):
            if each.name not in pairs and not each.name.endswith("_expansion_conv"):
                yield ours.get_layer(each.name), next(made)
        assert next(made, None) is None


@pytest.mark.slow
@pytest.mark.parametrize("size", [75, 299])
def test_the_released_inception_resnet_v2_with_their_weights_gives_their_logits(size):
    rng = np.random.default_rng(0)
    theirs = calibrated(
        keras.applications.InceptionResNetV2(weights=None, classifier_activation=None, input_shape=(size, size, 3)),
        rng,
        size,
    )
    ours = reskeras.build("inception-resnet-v2-released", input_shape=[size, size, 3])
    copied = 0
    for layer, source in their_inception_layers(theirs, ours):
        layer.set_weights(source.get_weights())
        copied += layer.count_params()
    assert copied == theirs.count_params() == 55_873_736
    images = rng.uniform(0, 1, (4, size, size, 3)).astype(np.float32)
    expected = theirs(images, training=False).numpy()
    assert np.ptp(expected, axis=0).max() > 0.1
    assert distance(ours(images, training=False), expected) < 1e-4


def test_vgg_19_has_the_parameters_of_keras_applications():
    theirs = keras.applications.VGG19(weights=None)
    assert reskeras.plan("vgg-19").complexity().parameters == theirs.count_params()
