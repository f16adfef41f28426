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
    layers = [kind(dtype=precision, momentum=0.9, **{"epsilon": 1e-5, **arguments})
              for kind in (FusedBatchNormalization, keras.layers.BatchNormalization)]
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
    return {"output": tf.cast(outputs, tf.float32), "input gradient": gradients[0],
            **{f"gradient {index}": gradient for index, gradient in enumerate(gradients[1:])},
            **{weight.name: weight.numpy() for weight in layer.weights}}


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


@pytest.mark.parametrize(("shape", "arguments"), [((8, 6), {}), ((8, 5, 6), {}), ((4, 3, 5, 5), {"axis": 1}),
                                                  ((4, 5, 5, 3), {"renorm": True})])
def test_what_the_kernel_cannot_do_is_left_to_stock_keras(shape, arguments):
    images = RNG.normal(3, 2, shape).astype(np.float32)
    ours, stock = pair(shape, **arguments)
    np.testing.assert_allclose(ours(images, training=True), stock(images, training=True), rtol=1e-5, atol=1e-5)


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
