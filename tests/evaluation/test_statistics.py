"""Batch norm's statistics measured anew, against NumPy over the same images."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.errors import ReskerasError
from reskeras.evaluation.statistics import recalibrate
from reskeras.graph.layers import FusedBatchNormalization
from reskeras.graph.weights import leaves, read


def first_inputs(run, count):
    """Normalised evenly spaced training images, as the network's first convolution sees them."""
    split, preprocessing = run.source().train, run.preprocessing()
    chosen = np.linspace(0, split.count - 1, count).astype(np.int64)
    images = [
        np.clip(
            np.round(tf.image.resize(split.example(tf.constant(index))[0], (16, 16), antialias=True).numpy()), 0, 255
        )
        for index in chosen
    ]
    return ((np.stack(images) - preprocessing.mean) / preprocessing.std).astype(np.float32)


def test_the_first_layers_statistics_are_those_of_all_images_together(copied):
    model = copied.model()
    before = read(model)
    assert recalibrate(model, copied.source().train, copied.preprocessing(), 96, batch_size=32) == 96
    after = read(model)
    kernel = next(value for name, value in before.items() if name.endswith("kernel"))
    responses = tf.nn.conv2d(first_inputs(copied, 96), kernel, 1, "SAME").numpy().astype(np.float64)
    mean_name = next(name for name in before if name.endswith("moving_mean"))
    variance_name = mean_name.replace("mean", "variance")
    np.testing.assert_allclose(after[mean_name], responses.mean(axis=(0, 1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after[variance_name], responses.var(axis=(0, 1, 2)), rtol=1e-3)
    learned = [name for name in before if "moving" not in name]
    assert all(np.array_equal(before[name], after[name]) for name in learned)
    changed = [name for name in before if "moving" in name]
    assert not any(np.array_equal(before[name], after[name]) for name in changed)


def test_recalibrating_again_changes_nothing_but_rounding_and_keeps_momentum(copied):
    model, split, preprocessing = copied.model(), copied.source().train, copied.preprocessing()
    momenta = [layer.momentum for layer in model.layers if hasattr(layer, "momentum")]
    recalibrate(model, split, preprocessing, 64)
    once = read(model)
    recalibrate(model, split, preprocessing, 64)
    again = read(model)
    assert all(np.array_equal(once[name], again[name]) for name in once)
    assert [layer.momentum for layer in model.layers if hasattr(layer, "momentum")] == momenta


def test_recalibrated_statistics_are_saved_only_when_asked(copied):
    before = read(copied.model())
    result = copied.evaluate(recalibrate=200)
    assert result.top1 > 0.5
    assert all(np.array_equal(before[name], value) for name, value in read(copied.model()).items())
    kept = copied.evaluate(recalibrate=200, save=True)
    assert kept.loss == pytest.approx(result.loss)
    assert copied.evaluate().loss == pytest.approx(result.loss, rel=1e-5)
    assert reskeras.Run(copied.path).folder.provenance()["recalibrated"] == {"images": 128, "data": "digits"}


def test_what_cannot_be_recalibrated_is_refused(trained):
    with pytest.raises(ReskerasError, match="recalibrate: -1: should be at least 1"):
        trained.evaluate(recalibrate=-1)
    with pytest.raises(ReskerasError, match="nothing to save"):
        trained.evaluate(save=True)


def norms_of(model):
    return [layer for layer in leaves(model) if isinstance(layer, FusedBatchNormalization)]


def test_in_turn_every_layers_statistics_are_those_of_what_it_gets_when_all_are_frozen(copied):
    """Against the inputs of each layer in inference, of all images at once, in float64."""
    model, images = copied.model(), first_inputs(copied, 96)
    before = read(model)
    trainable = [norm.trainable for norm in norms_of(model)]
    assert recalibrate(model, copied.source().train, copied.preprocessing(), 96, batch_size=32, in_turn=True) == 96
    assert [norm.trainable for norm in norms_of(model)] == trainable
    for norm in norms_of(model):
        seen = keras.Model(model.inputs, norm.input)(images, training=False).numpy().astype(np.float64)
        np.testing.assert_allclose(norm.moving_mean, seen.mean(axis=(0, 1, 2)), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(norm.moving_variance, seen.var(axis=(0, 1, 2)), rtol=2e-3)
    after = read(model)
    assert all(np.array_equal(before[name], after[name]) for name in before if "moving" not in name)


def test_in_turn_statistics_do_not_depend_on_the_batches(copied):
    found = []
    for in_turn in (True, False):
        for size in (12, 96):
            model = copied.model()
            recalibrate(model, copied.source().train, copied.preprocessing(), 96, batch_size=size, in_turn=in_turn)
            found.append({name: value for name, value in read(model).items() if "moving_variance" in name})
    off = [max(np.abs(one[name] / other[name] - 1).max() for name in one) for one, other in (found[:2], found[2:])]
    assert off[0] < 1e-2 < off[1]


def test_images_that_do_not_fit_are_read_for_each_layer(copied, monkeypatch):
    models = [copied.model(), copied.model()]
    for model, held in zip(models, (1 << 40, 1), strict=True):
        monkeypatch.setattr("reskeras.evaluation.statistics.memory", lambda held=held: held)
        recalibrate(model, copied.source().train, copied.preprocessing(), 32, batch_size=16, in_turn=True)
    one, other = map(read, models)
    assert all(np.allclose(one[name], other[name], rtol=1e-5) for name in one)
