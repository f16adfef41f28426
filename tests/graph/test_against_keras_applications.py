"""A compiled resnet-50 is keras.applications.ResNet50, weight for weight."""

import re

import keras
import numpy as np

import reskeras
from tests.graph.by_hand import distance

SIZE = 96


def their_name(name):
    if name in ("stem_conv", "stem_bn", "logits"):
        return {"stem_conv": "conv1_conv", "stem_bn": "conv1_bn", "logits": "predictions"}[name]
    stage, unit, kind, number = re.match(r"stage(\d)_unit(\d+)_(?:shortcut_)?(conv|bn)(\d?)", name).groups()
    return f"conv{int(stage) + 1}_block{unit}_{number or 0}_{kind}"


def calibrated(model, rng):
    """Random biases, scales and shifts, and the statistics that real numbers have under them."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(rng.uniform(0.5, 1.5, layer.gamma.shape))
            layer.beta.assign(rng.normal(0, 0.3, layer.beta.shape))
            layer.momentum = 0.0
        elif isinstance(layer, keras.layers.Conv2D):
            layer.bias.assign(rng.normal(0, 0.3, layer.bias.shape))
    model(rng.uniform(0, 1, (8, SIZE, SIZE, 3)).astype(np.float32), training=True)
    return model


def test_resnet_50_with_their_weights_gives_their_logits():
    rng = np.random.default_rng(0)
    theirs = calibrated(keras.applications.ResNet50(weights=None, classifier_activation=None,
                                                    input_shape=(SIZE, SIZE, 3)), rng)
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


def test_vgg_19_has_the_parameters_of_keras_applications():
    theirs = keras.applications.VGG19(weights=None)
    assert reskeras.plan("vgg-19").complexity().parameters == theirs.count_params()
