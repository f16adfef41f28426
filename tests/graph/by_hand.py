"""The papers' formulas written out with tf.nn, on weights taken from a model by layer name: no compiler, no plan."""

import numpy as np
import tensorflow as tf


def randomised(model, seed=0):
    """`model` with random batch-norm scale, shift and statistics and random biases, so that nothing is 0 or 1."""
    rng = np.random.default_rng(seed)
    ranges = {
        "gamma": (0.5, 1.5),
        "beta": (-0.5, 0.5),
        "moving_mean": (-0.5, 0.5),
        "moving_variance": (0.5, 2.0),
        "bias": (-0.5, 0.5),
    }
    for weight in model.weights:
        if weight.name in ranges:
            weight.assign(rng.uniform(*ranges[weight.name], weight.shape))
    return model


class Hand:
    """conv, bn and relu by hand, with the weights of the layers of one unit."""

    def __init__(self, model, unit, epsilon=1e-5):
        self.model, self.unit, self.epsilon = model, unit, epsilon

    def weights(self, name):
        layer = self.model.get_layer(f"{self.unit}_{name}" if name else self.unit)
        return {weight.name: tf.convert_to_tensor(weight) for weight in layer.weights}

    def conv(self, x, name, stride=1):
        kernel = self.weights(name)["kernel"]
        pad = (kernel.shape[0] - 1) // 2  # symmetric, as Caffe pads
        y = tf.nn.conv2d(x, kernel, stride, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
        return y + self.weights(name).get("bias", 0.0)

    def bn(self, x, name):
        w = self.weights(name)
        return (x - w["moving_mean"]) / tf.sqrt(w["moving_variance"] + self.epsilon) * w.get("gamma", 1.0) + w["beta"]

    def bn_relu(self, x, name):
        return tf.nn.relu(self.bn(x, name))


def residual(hand, order, x, convs, stride=1):
    """F(x) of v2 figure 4, from the first weight layer on; `x` is already pre-activated where the order wants it."""
    for number in range(1, convs + 1):
        last = number == convs
        if number > 1 and order == "full_preact":
            x = hand.bn_relu(x, f"pre_bn{number}")
        if number > 1 and order == "relu_preact":
            x = tf.nn.relu(x)
        x = hand.conv(x, f"conv{number}", stride if number == 1 else 1)
        if order == "relu_preact" or (order in ("original", "relu_before_add") and last):
            x = hand.bn(x, f"bn{number}")
        elif order in ("original", "bn_after_add", "relu_before_add") and not last:
            x = hand.bn_relu(x, f"bn{number}")
        if order == "relu_before_add" and last:
            x = tf.nn.relu(x)
    return x


def preactivated(hand, order, x):
    """x as the first weight layer gets it."""
    if order == "full_preact":
        return hand.bn_relu(x, "pre_bn1")
    return tf.nn.relu(x) if order == "relu_preact" else x


def after_add(hand, order, x):
    """What follows the addition."""
    if order == "original":
        return tf.nn.relu(x)
    return hand.bn_relu(x, "out_bn") if order == "bn_after_add" else x


def option_a(x, channels, stride):
    """Every second position, zero channels after those there are (v1 section 3.3)."""
    x = x[:, ::stride, ::stride]
    return tf.concat([x, tf.zeros([*x.shape[:-1], channels - x.shape[-1]])], axis=-1)


def distance(ours, expected):
    """Largest difference over the largest value; both must be finite and not constant."""
    ours, expected = np.asarray(ours), np.asarray(expected)
    assert ours.shape == expected.shape
    assert np.isfinite(expected).all()
    assert np.ptp(expected) > 1e-3
    return np.abs(ours - expected).max() / np.abs(expected).max()
