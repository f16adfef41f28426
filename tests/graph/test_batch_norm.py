"""Fused batch normalisation is stock Keras batch normalisation, to rounding."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from reskeras.graph.layers import FusedBatchNormalization
from tests.graph.by_hand import distance

RNG = np.random.default_rng(0)


def pair(shape, precision="float32", **arguments):
    """Our layer and the stock one with the same random weights."""
    layers = [
        kind(dtype=precision, momentum=0.9, **{"epsilon": 1e-5, **arguments})
        for kind in (FusedBatchNormalization, keras.layers.BatchNormalization)
    ]
    for layer in layers:
        layer.build((None, *shape[1:]))
    weights = [RNG.uniform(0.5, 2.0, weight.shape) for weight in layers[1].weights]
    for layer in layers:
        layer.set_weights(weights)
    return layers


def observed(layer, images, training, upstream):
    """Output, gradients and statistics after one call in a graph."""

    @tf.function
    def step(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images, training=training)
            loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * upstream)
        return outputs, tape.gradient(loss, [images, *layer.trainable_variables])

    outputs, gradients = step(tf.constant(images))
    return {
        "output": tf.cast(outputs, tf.float32),
        "input gradient": gradients[0],
        **{f"gradient {index}": gradient for index, gradient in enumerate(gradients[1:])},
        **{weight.name: weight.numpy() for weight in layer.weights},
    }


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 5e-6), ("mixed_bfloat16", 1e-2)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("arguments", [{}, {"scale": False}, {"center": False}, {"epsilon": 1e-3}])
def test_outputs_gradients_and_statistics_are_stock_keras(precision, tolerance, training, arguments):
    images = RNG.normal(3, 2, (8, 5, 4, 6)).astype(np.float32)
    upstream = RNG.normal(size=images.shape).astype(np.float32)
    ours, stock = (observed(layer, images, training, upstream) for layer in pair(images.shape, precision, **arguments))
    assert ours.keys() == stock.keys()
    for name, expected in stock.items():
        assert distance(ours[name], expected) < tolerance, name


def test_epsilon_is_used_exactly_as_given():
    # tf.compat.v1.nn.fused_batch_norm would raise 1e-5 to 1.001e-5; a tiny variance shows it
    images = RNG.normal(0, 1e-3, (16, 4, 4, 3)).astype(np.float32)
    ours, stock = pair(images.shape, epsilon=1e-5)
    assert distance(ours(images, training=True), stock(images, training=True)) < 1e-5


def test_a_frozen_layer_infers_and_does_not_move():
    images = RNG.normal(3, 2, (8, 5, 4, 6)).astype(np.float32)
    ours, stock = pair(images.shape)
    before = [weight.numpy() for weight in ours.weights]
    for layer in (ours, stock):
        layer.trainable = False
    upstream = RNG.normal(size=images.shape).astype(np.float32)
    mine, theirs = (observed(layer, images, True, upstream) for layer in (ours, stock))
    for name, expected in theirs.items():
        assert distance(mine[name], expected) < 5e-6, name
    for weight, value in zip(ours.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_one_pixel_of_one_image_has_no_variance_and_no_nan():
    image = np.full((1, 1, 1, 3), 5.0, np.float32)
    ours, stock = pair(image.shape)
    outputs, theirs = ours(image, training=True), stock(image, training=True)
    np.testing.assert_allclose(outputs[0, 0, 0], ours.beta, rtol=1e-6)  # what is left of a constant is the shift
    np.testing.assert_allclose(outputs, theirs, atol=1e-3)  # stock Keras cancels two numbers 300 times as large
    for mine, theirs in zip(ours.weights, stock.weights, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)


def test_one_pixel_of_one_image_sends_no_gradient_back_to_the_image():
    image = np.full((1, 1, 1, 3), 5.0, np.float32)
    seen = observed(pair(image.shape)[0], image, True, np.ones_like(image))
    np.testing.assert_allclose(seen["input gradient"], np.zeros_like(image), atol=1e-6)
    assert np.isfinite(seen["gradient 0"]).all()  # of the scale
    np.testing.assert_allclose(seen["gradient 1"], np.ones(3))  # of the shift


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_freezing_a_model_freezes_statistics_and_thawing_frees_them(precision):
    image = keras.Input((5, 4, 6))
    model = keras.Model(image, FusedBatchNormalization(momentum=0.5, dtype=precision)(image))
    images = RNG.normal(3, 2, (8, 5, 4, 6)).astype(np.float32)
    model.trainable = False
    np.testing.assert_allclose(model(images, training=True), model(images, training=False), rtol=1e-6)
    np.testing.assert_array_equal(model.layers[-1].moving_mean, np.zeros(6))
    model.trainable = True
    model(images, training=True)
    rounding = 1e-5 if precision == "float32" else 1e-2
    np.testing.assert_allclose(model.layers[-1].moving_mean, images.mean(axis=(0, 1, 2)) / 2, rtol=rounding)


def test_unknown_batch_and_image_sizes_are_counted_when_they_are_known():
    # n / (n - 1) of 2 x 3 x 2 = 12 positions is 9 % off if the count is taken from anything else
    ours, stock = pair((None, None, None, 6))

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 6), tf.float32)])
    def step(images):
        return ours(images, training=True)

    images = RNG.normal(3, 2, (2, 3, 2, 6)).astype(np.float32)
    assert distance(step(images), stock(images, training=True)) < 5e-6
    assert distance(ours.moving_variance, stock.moving_variance) < 5e-6


def forbid_the_kernel(monkeypatch):
    def forbidden(**arguments):
        raise AssertionError("the fused kernel was called")

    monkeypatch.setattr(tf.raw_ops, "FusedBatchNormV3", forbidden)


@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((8, 6), {}),
        ((8, 5, 6), {}),
        ((4, 3, 5, 5), {"axis": 1}),
        ((4, 5, 5, 3), {"renorm": True}),
        ((4, 5, 5, 3), {"synchronized": True}),
    ],
)
def test_what_the_kernel_cannot_do_is_left_to_stock_keras(shape, arguments, monkeypatch):
    images = RNG.normal(3, 2, shape).astype(np.float32)
    ours, stock = pair(shape, **arguments)
    forbid_the_kernel(monkeypatch)
    np.testing.assert_allclose(ours(images, training=True), stock(images, training=True), rtol=1e-5, atol=1e-5)
    assert distance(ours.moving_variance, stock.moving_variance) < 1e-5


@pytest.mark.parametrize("precision", ["float64", "float16", "bfloat16"])
def test_dtypes_that_the_kernel_does_not_have_are_left_to_stock_keras(precision):
    images = RNG.normal(3, 2, (4, 5, 5, 3))
    ours, stock = (layer(images, training=True) for layer in pair(images.shape, precision))
    assert ours.dtype == stock.dtype == tf.as_dtype(precision)
    np.testing.assert_array_equal(tf.cast(ours, tf.float64), tf.cast(stock, tf.float64))


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("training", [True, False])
def test_feature_maps_go_through_the_kernel(precision, training, monkeypatch):
    ours, _ = pair((4, 5, 5, 3), precision)
    forbid_the_kernel(monkeypatch)
    with pytest.raises(AssertionError, match="kernel was called"):
        ours(RNG.normal(size=(4, 5, 5, 3)).astype(np.float32), training=training)


def test_under_bf16_statistics_stay_float32_and_outputs_are_bf16():
    ours, _ = pair((8, 5, 4, 6), "mixed_bfloat16")
    outputs = ours(RNG.normal(3, 2, (8, 5, 4, 6)).astype(np.float32), training=True)
    assert outputs.dtype == tf.bfloat16
    assert {weight.dtype for weight in ours.weights} == {"float32"}


def test_it_survives_saving(tmp_path):
    image = keras.Input((5, 4, 6))
    model = keras.Model(image, FusedBatchNormalization(momentum=0.7, epsilon=1e-4, scale=False)(image))
    model.set_weights([RNG.uniform(0.5, 2, weight.shape) for weight in model.weights])
    model.save(tmp_path / "bn.keras")
    loaded = keras.saving.load_model(tmp_path / "bn.keras")
    layer = loaded.layers[-1]
    assert (type(layer), layer.momentum, layer.epsilon, layer.scale) == (FusedBatchNormalization, 0.7, 1e-4, False)
    images = RNG.normal(size=(2, 5, 4, 6)).astype(np.float32)
    np.testing.assert_array_equal(loaded(images), model(images))
