"""Image sizes of a recipe: which epochs they are for, which networks take them, and the graph that takes any."""

import itertools
from math import ceil

import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.graph.compile import compile_plan
from reskeras.graph.keras_layers import Context
from reskeras.graph.weights import read, write
from reskeras.networks.overrides import laid_over
from reskeras.recipes.recipe import recipe
from reskeras.recipes.sizes import at_size, check_sizes, in_words, size_changes, sized
from reskeras.training.epochs import pieces
from reskeras.training.memory import advised
from reskeras.training.position import Position
from tests.data.images import memory_split, picture


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([[0.1, 128]], "the first size should begin at share 0 of the training, not at 0.1"),
        ([[0, 128], [0.6, 192], [0.5, 224]], "shares of the training should rise, but 0.5 comes after 0.6"),
        ([[0, 128], [0, 192]], "should rise, but 0 comes after 0"),
        ([[0, 128], [1, 192]], "sizes"),
        ([[0, 0]], "sizes"),
        ([[0, 128.5]], "sizes"),
        ([[0]], "sizes"),
        ([0, 128], "sizes"),
    ],
)
def test_what_is_no_list_of_sizes_is_refused(sizes, message):
    with pytest.raises(ReskerasError, match="sizes") as caught:
        recipe("quick", sizes=sizes)
    assert message in str(caught.value) and caught.value.status == 2


@pytest.mark.parametrize(("steps_per_epoch", "steps"), [(10, 100), (7, 64), (10, 5), (3, 1000)])
def test_a_change_is_at_the_beginning_of_an_epoch_that_is_nearest_to_its_share(steps_per_epoch, steps):
    sizes = ((0.0, 8), (0.33, 12), (0.6, 16), (0.99, 20))
    changes = size_changes(sizes, (16, 16, 3), steps_per_epoch, steps)
    begins = range(ceil(steps / steps_per_epoch) + 1)
    expected = {}
    for share, side in sizes:
        expected[min(begins, key=lambda epoch: abs(epoch * steps_per_epoch - share * steps))] = (side, side)
    assert changes == {epoch: size for epoch, size in expected.items() if epoch < begins[-1]}
    assert list(changes) == sorted(changes)


def test_sizes_without_an_epoch_are_told():
    changes = size_changes(((0.0, 8), (0.6, 12), (0.8, 16)), (16, 16, 1), 5, 10)
    told = in_words({epoch: f"{size[0]}x{size[1]}" for epoch, size in changes.items()}, 3)
    assert told == "8x8 from epoch 1, 12x12 from epoch 2 (1 of 3 left out: the training has too few epochs)"


def test_the_aspect_of_a_network_that_is_not_square_is_kept():
    assert sized(128, (224, 448, 3)) == (128, 256)
    assert sized(100, (300, 200, 3)) == (150, 100)
    assert sized(160, (224, 224, 3)) == (160, 160)


@pytest.mark.parametrize("resumed", [(0, 0), (0, 3), (2, 0), (2, 4), (4, 1)])
def test_pieces_of_a_training_end_where_sizes_change(resumed):
    position = Position(6, 6 * 5 + 2)
    position.epoch, position.step = resumed
    found = list(pieces(position, None, [0, 2, 3]))
    assert not [(first, until) for first, until, _ in found for change in (2, 3) if first < change < until]
    assert sum((until - first) * steps for first, until, steps in found) == position.total - position.steps
    assert found[0][0] == position.epoch and found[-1][1] == position.epochs
    assert all(before[1] == after[0] for before, after in itertools.pairwise(found))


@pytest.mark.parametrize(
    "name",
    [
        "resnet-18",
        "resnet-50",
        "preact-18",
        "cifar-resnet-20",
        "cifar-preact-164",
        "wide-resnet-50-2",
        "se-resnet-50",
        "resnet-50-d",
    ],
)
def test_the_stride_is_that_of_the_last_feature_map(name):
    plan = reskeras.network(name).lower()
    for side in (plan.stride[0] * 3, plan.stride[0] * 7):
        shape = at_size(plan, (side, side)).unit_shapes()[-2]
        assert shape[0] * plan.stride[0] == side


def test_sizes_below_the_stride_and_networks_of_one_size_are_refused():
    resnet = reskeras.network("resnet-18").lower()
    check_sizes(((0.0, 32), (0.5, 500)), resnet)
    with pytest.raises(
        ReskerasError, match=r"sizes: 31 is below the network's stride of 32 pixels; choose at least 32"
    ):
        check_sizes(((0.0, 64), (0.5, 31)), resnet)
    with pytest.raises(ReskerasError, match=r"sizes: 64 is too small for this network: .*does not fit"):
        check_sizes(((0.0, 64),), reskeras.network("inception-v4").lower())
    flat = reskeras.network("vgg-19").lower()
    with pytest.raises(ReskerasError, match=r"sizes: .*/kernel of this network depends on the size .* at 224x224"):
        check_sizes(((0.0, 192),), flat)
    check_sizes(((0.0, 224),), flat)


GRAPHS = {
    "A": {"family": "cifar", "stages": [3, 2]},
    "B": {"family": "cifar", "stages": [3, 2], "shortcut": "B", "order": "full_preact"},
    "excited": {"family": "cifar", "stages": [2, 3], "squeeze": 4},
    "inception": {"inception": "resnet-v2", "stem": "small", "cells": [2, 2, 1], "width_factor": 0.125},
    # of equal units the first takes other channels than it gives
    "plain": {
        "family": "cifar",
        "stages": [{"units": 3, "width": 8}],
        "stem": {"convs": [{"width": 4}]},
        "shortcut": "none",
    },
}


@pytest.mark.sample(4)
@pytest.mark.parametrize("form", ["unrolled", "scanned"])
@pytest.mark.parametrize("kind", GRAPHS)
def test_a_graph_for_any_size_computes_what_the_networks_own_does_at_that_size(kind, form):
    spec = reskeras.network(**GRAPHS[kind], input_shape=[32, 32, 3], classes=5)
    images = np.random.default_rng(0).normal(size=(6, 40, 40, 3)).astype(np.float32)
    own = compile_plan(laid_over(spec, {"input_shape": [40, 40, 3]}).lower(), "own", Context(seed=1, form=form))
    open_ = compile_plan(spec.lower(), "open", Context(seed=1, form=form), any_size=True)
    weights = read(own)
    rng = np.random.default_rng(1)
    weights = {
        name: value + rng.normal(0, 0.05, value.shape).astype(value.dtype)
        if value.dtype == np.float32 and "variance" not in name
        else value
        for name, value in weights.items()
    }
    write(own, weights)
    write(open_, weights)
    found = []
    for model in (own, open_):
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_sum(tf.square(logits))
        gradients = tape.gradient(loss, model.trainable_variables)
        found.append(
            [logits.numpy(), *(each.numpy() for each in gradients), *(v.numpy() for v in model.non_trainable_variables)]
        )
    assert np.ptp(found[0][0]) > 0.01
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_per_pixel_mean_at_another_size_is_nearly_that_of_images_of_that_size():
    pixels = np.stack([np.asarray(picture(48, 48, seed)) for seed in range(20)])
    split = memory_split(pixels, np.zeros(20))
    fitted = Preprocessing.fit(split, 32, 32, 3, "per_pixel_mean").at(24, 24)
    own = Preprocessing.fit(split, 24, 24, 3, "per_pixel_mean")
    assert fitted.size == own.size == (24, 24, 3)
    assert np.abs(fitted.mean - own.mean).max() < 2 and np.abs(fitted.mean - own.mean).mean() < 0.4
    same = Preprocessing.fit(split, 32, 32, 3, "per_pixel_mean")
    np.testing.assert_array_equal(same.at(32, 32).mean, same.mean)


def test_memory_is_estimated_for_the_largest_size():
    spec = reskeras.network("cifar-resnet-20")
    larger = laid_over(spec, {"input_shape": [48, 48, 3]}).lower()
    progressive = recipe("quick", sizes=[[0, 16], [0.3, 48], [0.8, 24]])
    expected = recipe("quick").step_bytes(larger, 8, "float32")
    assert progressive.step_bytes(spec.lower(), 8, "float32") == expected
    assert "smaller sizes" in advised(progressive) and "sizes" not in advised(recipe("quick"))
