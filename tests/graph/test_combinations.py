"""Every combination of block, order, skip and shortcut: it trains a step, and survives saving; or it is refused."""

from itertools import combinations, product

import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.errors import ReskerasError
from reskeras.graph.load import load_model, save_model
from tests.graph.by_hand import distance

AXES = {
    "block": ["basic", "bottleneck", "single"],
    "order": ["original", "bn_after_add", "relu_before_add", "relu_preact", "full_preact"],
    "skip": ["identity", "scale", "exclusive_gate", "shortcut_gate", "conv1x1", "dropout"],
    "shortcut": ["A", "B", "C", "none"],
}
ALL = [dict(zip(AXES, values, strict=True)) for values in product(*AXES.values())]


def valid(choice):
    """DESIGN's rules: a plain net has no skip, C is itself the skip conv1x1 and takes no other."""
    if choice["skip"] == "conv1x1":
        return choice["shortcut"] == "C"
    return choice["skip"] == "identity" or choice["shortcut"] in ("A", "B")


VALID = [choice for choice in ALL if valid(choice)]


def pairs_of(choice):
    return {((one, choice[one]), (other, choice[other])) for one, other in combinations(AXES, 2)}


def pairwise():
    """Greedily, few valid choices that hold every pair of values which any valid choice holds."""
    wanted, chosen = set().union(*map(pairs_of, VALID)), []
    while wanted:
        best = max(VALID, key=lambda choice: len(pairs_of(choice) & wanted))
        chosen.append(best)
        wanted -= pairs_of(best)
    return chosen


def named(choice):
    return "-".join(choice.values())


def gradients_of_a_step(**choice):
    """A small model of `choice`, images, and variable and gradient of each trainable weight on random labels."""
    model = reskeras.build(
        family="cifar",
        stages=[{"units": 2, "width": 4}, {"units": 2, "width": 8}],
        classes=3,
        stem={"convs": [{"kernel": 3, "width": 4}]},
        input_shape=[8, 8, 3],
        seed=1,
        **choice,
    )
    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(size=(16, 8, 8, 3)), tf.float32)
    labels = tf.constant(rng.integers(0, 3, 16))
    with tf.GradientTape() as tape:
        logits = model(images, training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    gradients = tape.gradient(loss, model.trainable_variables)
    return model, images, list(zip(model.trainable_variables, gradients, strict=True))


def train_a_step_and_save(choice, folder):
    """No gradient is 0: no convolution has a bias that a batch norm takes away, no factor is 0."""
    model, images, pairs = gradients_of_a_step(**choice)
    for variable, gradient in pairs:
        assert gradient is not None, variable.path
        assert np.isfinite(gradient).all(), variable.path
        assert np.abs(gradient).max() > 0, variable.path
        variable.assign_sub(0.01 * gradient)
    save_model(model, folder / "net.keras")
    assert distance(load_model(folder / "net.keras")(images), model(images, training=False)) < 1e-6


def test_the_pairwise_selection_holds_every_pair():
    assert set().union(*map(pairs_of, pairwise())) == set().union(*map(pairs_of, VALID))
    assert len(pairwise()) < 50 < len(VALID)


@pytest.mark.sample(12)
@pytest.mark.parametrize("choice", pairwise(), ids=named)
def test_pairs_of_choices_train_and_save(choice, tmp_path):
    train_a_step_and_save(choice, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("choice", VALID, ids=named)
def test_every_valid_choice_trains_and_saves(choice, tmp_path):
    train_a_step_and_save(choice, tmp_path)


def test_a_bias_that_batch_norm_takes_away_has_no_gradient():
    _, _, pairs = gradients_of_a_step(conv_bias=True, shortcut="B")
    silent = {variable.path for variable, gradient in pairs if np.abs(gradient).max() < 1e-6}
    assert silent == {variable.path for variable, _ in pairs if "conv" in variable.path and "bias" in variable.path}


def test_a_shortcut_of_factor_0_leaves_a_gradient_on_every_weight():
    _, _, pairs = gradients_of_a_step(shortcut="A", skip={"kind": "scale", "shortcut": 0.0, "residual": 1.0})
    assert all(np.abs(gradient).max() > 0 for _, gradient in pairs)


@pytest.mark.parametrize("choice", [choice for choice in ALL if not valid(choice)], ids=named)
def test_every_other_choice_is_refused_by_name(choice):
    with pytest.raises(ReskerasError, match="skip: ") as caught:
        reskeras.network(family="cifar", stages=[1, 1, 1], **choice)
    assert caught.value.status == 2
