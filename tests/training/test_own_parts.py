"""Optimisers, losses and augmentations given as objects: they compute what they are, and resume like a recipe's."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.optimizers import schedules

import reskeras
from reskeras.errors import ReskerasError
from reskeras.graph.weights import read

NETWORK = {"family": "cifar", "stages": [1], "input_shape": [8, 8, 1], "stem": {"convs": [{"width": 4}]}}
FIELDS = {"epochs": 2, "batch_size": 32, "precision": "float32", "deterministic": True}


def trained(out, told=print, **given):
    net = reskeras.network(**NETWORK)
    return reskeras.train(net, "digits@160", out=out, tell=told, **{**FIELDS, **given})


def weights(run):
    return np.concatenate([value.ravel() for value in read(run.model()).values()])


def digest(run):
    return run.folder.provenance()["trained_sha256"]


def brighter(images, seeds):
    """Each image brighter or darker by a random number of its own."""
    shifts = tf.map_fn(
        lambda seed: tf.random.stateless_uniform([], seed, -20, 20), seeds, fn_output_signature=tf.float32
    )
    return images + shifts[:, tf.newaxis, tf.newaxis, tf.newaxis]


def by_hand(targets, logits):
    return tf.reduce_logsumexp(logits, axis=1) - tf.reduce_sum(targets * logits, axis=1)


class Stop(keras.callbacks.Callback):
    """Fails in the middle of the second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 1):
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("own", "named"),
    [
        (lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True), {"learning_rate": 0.05, "weight_decay": 0.0}),
        (
            lambda: keras.optimizers.AdamW(0.002, weight_decay=0.1, beta_2=0.9),
            {"learning_rate": 0.002, "weight_decay": 0.1, "optimizer": {"kind": "adamw", "beta_2": 0.9}},
        ),
    ],
)
def test_an_optimizer_follows_the_recipes_rules(tmp_path, own, named):
    rules = {"clip_norm": 0.5, "rate_factors": {"stage1_*": 0.1}, "ema": 0.5}
    given = trained(tmp_path / "own", optimizer=own(), **rules)
    np.testing.assert_allclose(
        weights(given), weights(trained(tmp_path / "named", **named, **rules)), rtol=1e-3, atol=1e-4
    )
    assert given.folder.recipe().learning_rate == named["learning_rate"]
    assert given.folder.provenance()["own"]["optimizer"]["name"] == type(own()).__name__


def test_an_optimizers_own_schedule_counts(tmp_path):
    course = keras.optimizers.schedules.PiecewiseConstantDecay([4, 8], [1e-2, 1e-3, 1e-4])
    run = trained(tmp_path / "run", optimizer=keras.optimizers.Adam(course))
    steps = int(np.ceil(run.folder.provenance()["training_images"] // 32))
    expected = [float(course(steps - 1)), float(course(2 * steps - 1))]
    assert [row["learning_rate"] for row in run.folder.metrics()] == pytest.approx(expected)


def test_a_loss_is_what_is_minimised(tmp_path):
    smooth = {"label_smoothing": 0.1, "class_weights": "balanced"}
    given = trained(tmp_path / "own", loss=by_hand, **smooth)
    np.testing.assert_allclose(weights(given), weights(trained(tmp_path / "named", **smooth)), rtol=1e-3, atol=1e-4)
    keras_own = trained(tmp_path / "keras", loss=keras.losses.CategoricalCrossentropy(from_logits=True), **smooth)
    np.testing.assert_allclose(weights(given), weights(keras_own), rtol=1e-3, atol=1e-4)


def test_an_augmentation_gets_pixels_and_a_seed_for_each_image(tmp_path):
    seen = []

    def looked_at(images, seeds):
        if tf.executing_eagerly():
            return images
        tf.py_function(lambda *both: seen.append([each.numpy() for each in both]), [images, seeds], [])
        return images

    plain, same = trained(tmp_path / "plain"), trained(tmp_path / "same", augment=looked_at)
    assert digest(plain) == digest(same)
    images, seeds = (np.concatenate(each) for each in zip(*seen, strict=True))
    assert images.shape[1:] == (8, 8, 1) and len(np.unique(seeds, axis=0)) == len(seeds) == len(images)
    assert images.min() == 0 and images.max() > 200 and np.array_equal(images, np.round(images))
    assert digest(trained(tmp_path / "changed", augment=brighter)) != digest(plain)


def test_stopped_and_given_again_it_goes_on_to_the_same_weights(tmp_path):
    def own():
        return {"optimizer": keras.optimizers.Lion(1e-3), "loss": by_hand, "augment": brighter}

    whole = trained(tmp_path / "whole", **own())
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", callbacks=[Stop()], checkpoint_steps=1, **own())
    for name in ("optimizer", "loss", "augment"):
        rest = {key: part for key, part in own().items() if key != name}
        rates = {} if "optimizer" in rest else {"learning_rate": 1e-3, "weight_decay": 0.0}
        with pytest.raises(ReskerasError, match=rf"{name}: .* program's own .*reskeras.train\(..., {name}=...\)"):
            trained(tmp_path / "run", resume=True, **rest, **rates)
    with pytest.raises(ReskerasError, match=r"optimizer: .* with Lion as it was set then, not with this Lion"):
        trained(tmp_path / "run", resume=True, **{**own(), "optimizer": keras.optimizers.Lion(1e-3, beta_1=0.8)})
    trained(tmp_path / "plain")
    with pytest.raises(ReskerasError, match=r"augment: .* is trained with its recipe's, not with this .*brighter"):
        trained(tmp_path / "plain", resume=True, augment=brighter)
    assert digest(trained(tmp_path / "run", resume=True, **own())) == digest(whole)


@pytest.mark.slow
def test_everything_but_resuming_needs_the_folder_alone(tmp_path):
    told = []
    run = trained(tmp_path / "run", told.append, optimizer=keras.optimizers.Lion(1e-3), loss=by_hand)
    assert any("optimizer (Lion) and loss" in line and "they must be given again" in line for line in told)
    asked = [sys.executable, "-m", "reskeras", "evaluate", str(run.path)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{run.evaluate().top1:.2%}" in done.stdout


class Forgetful(keras.optimizers.SGD):
    """Its settings lack what it is made with."""

    def __init__(self, twist, **settings):
        super().__init__(**settings)
        self.twist = twist


class Unwilling(keras.optimizers.SGD):
    def get_config(self):
        raise RuntimeError("no")


def test_numpy_may_change_images(tmp_path):
    def unchanged(images, seeds):
        return tf.numpy_function(lambda each: each, [images], tf.float32)  # of no known shape

    assert digest(trained(tmp_path / "run", augment=unchanged)) == digest(trained(tmp_path / "plain"))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"optimizer": keras.optimizers.Lion}, "optimizer: Lion is a class; give an instance, such as Lion()"),
        ({"optimizer": keras.optimizers.Lion(), "momentum": 0.5}, "momentum: the optimizer that was given, Lion, has"),
        ({"optimizer": keras.optimizers.Adam(global_clipnorm=1.0)}, "global_clipnorm .* use the recipe's clip_norm"),
        ({"optimizer": lambda: None}, "optimizer: function is not an optimiser of Keras"),
        (
            {"loss": lambda targets, logits: tf.reduce_mean(logits)},
            r"gave float32 \(\) .* it should give floats \(3,\)",
        ),
        (
            {
                "optimizer": keras.optimizers.Adam(schedules.ExponentialDecay(0.1, 9, 0.9)),
                "schedule": {"kind": "cosine"},
            },
            "schedule: the optimizer that was given, Adam, has a schedule of its own",
        ),
        ({"optimizer": keras.optimizers.Adam(lambda: 0.1)}, "Adam's learning rate is a function without the step"),
        ({"optimizer": Forgetful(3)}, "Forgetful cannot be made again from its get_config: TypeError: .*'twist'"),
        ({"optimizer": Unwilling()}, "Unwilling cannot be made again from its get_config: RuntimeError: no"),
        (
            {"loss": keras.losses.CategoricalCrossentropy()},
            "CategoricalCrossentropy takes probabilities, but networks give logits; use from_logits=True",
        ),
        (
            {"loss": keras.losses.CategoricalCrossentropy(from_logits=True, reduction=None)},
            "CategoricalCrossentropy has no reduction, so that gradients would be those of a sum",
        ),
        ({"loss": keras.losses.categorical_crossentropy}, "categorical_crossentropy takes probabilities"),
        ({"loss": lambda targets, logits: tf.reduce_sum(targets, axis=1)}, "no gradient with respect to the logits"),
        # what only fails in a graph, where training computes it
        (
            {"loss": lambda targets, logits: tf.constant(logits.numpy()[:, 0])},
            "loss: the function that was given failed",
        ),
        ({"augment": lambda images, seeds: keras.layers.RandomFlip()(images)}, "tf.function only supports singleton"),
        ({"augment": lambda images, seeds: images / 0}, "gave pixels that are not finite"),
        (
            {"callbacks": [keras.callbacks.TerminateOnNaN]},
            "callbacks: the class TerminateOnNaN is not a callback of Keras",
        ),
        (
            {"callbacks": [keras.callbacks.ReduceLROnPlateau()]},
            "callbacks: ReduceLROnPlateau would set the learning rate, which follows a schedule",
        ),
        ({"callbacks": [print]}, "callbacks: a builtin_function_or_method is not a callback"),
        ({"callbacks": keras.callbacks.TerminateOnNaN()}, "callbacks: TerminateOnNaN should be a list"),
        ({"loss": lambda targets: targets}, "loss: the function that was given failed: TypeError"),
        ({"augment": lambda images, seeds: images[:, 1:]}, r"gave float32 \(2, 7, 8, 1\) for float32 \(2, 8, 8, 1\)"),
        ({"augment": lambda images, seeds: tf.cast(images, tf.uint8)}, "it should keep shape and type"),
    ],
)
def test_parts_that_do_not_fit_are_refused_before_anything_is_written(tmp_path, given, named):
    with pytest.raises(ReskerasError, match=named) as caught:
        trained(tmp_path / "run", **given)
    assert caught.value.status == 2 and list(tmp_path.iterdir()) == []
