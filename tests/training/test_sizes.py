"""Progressive image sizes: the step of each size is the network's own at that size, and going on across a change
equals never having stopped."""

import itertools
from math import ceil

import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Source
from reskeras.errors import ReskerasError
from reskeras.graph.compile import compile_plan
from reskeras.graph.keras_layers import Context
from reskeras.graph.weights import read, write
from reskeras.networks.overrides import laid_over
from reskeras.recipes.recipe import recipe
from reskeras.recipes.sizes import at_size, check_sizes, in_words, size_changes, sized
from reskeras.tasks.classification.feed import Feed
from reskeras.training.epochs import pieces
from reskeras.training.position import Position
from reskeras.training.strategy import open_replicas
from tests.data.images import coloured, memory_split, picture
from tests.training.test_resume import Failing, stopping_at
from tests.training.test_strategy import assert_equal_but_for_rounding, trained_on

STILL = {"deterministic": True, "precision": "float32", "learning_rate": 0.02, "batch_size": 32, "holdout": 0.0}
NETWORK = {
    "family": "cifar",
    "stages": [{"units": 3, "width": 4}, {"units": 1, "width": 8}],
    "stem": {"convs": [{"width": 4}]},
    "input_shape": [12, 12, 1],
}


def trained(out, network=None, **fields):
    return reskeras.train(reskeras.network(**(network or NETWORK)), "digits@160", out=out, **{**STILL, **fields})


def digest(run):
    return run.folder.provenance()["trained_sha256"]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([[0.1, 128]], "the first size should be from share 0 of the training on, not from 0.1"),
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
    with pytest.raises(ReskerasError, match=r"sizes: 31 is below the network's stride of 32.*use 32 or more"):
        check_sizes(((0.0, 64), (0.5, 31)), resnet)
    with pytest.raises(ReskerasError, match=r"sizes: 64 is too small for this network: .*does not fit"):
        check_sizes(((0.0, 64),), reskeras.network("inception-v4").lower())
    flat = reskeras.network("vgg-19").lower()
    with pytest.raises(ReskerasError, match=r"sizes: .*/kernel of this network depends on the size .* at 224x224"):
        check_sizes(((0.0, 192),), flat)
    check_sizes(((0.0, 224),), flat)


def test_a_refused_size_leaves_nothing_behind(tmp_path):
    with pytest.raises(ReskerasError, match="sizes: 1 is below the network's stride of 2") as caught:
        trained(tmp_path / "run", epochs=1, sizes=[[0, 1]])
    assert caught.value.status == 2
    assert list(tmp_path.iterdir()) == []


GRAPHS = {
    "A": {"family": "cifar", "stages": [3, 2]},
    "B": {"family": "cifar", "stages": [3, 2], "shortcut": "B", "order": "full_preact"},
    "excited": {"family": "cifar", "stages": [2, 3], "squeeze": 4},
    "inception": {"inception": "resnet-v2", "stem": "small", "cells": [2, 2, 1], "width_factor": 0.125},
}


@pytest.mark.sample(3)
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


AUGMENTED = {
    "pad_crop": 2,
    "flip_rows": True,
    "erase": 0.5,
    "mixup": 0.2,
    "cutmix": 1.0,
    "rand_augment": {},
    "colour": 0.2,
}


@pytest.mark.parametrize("form", ["unrolled", "scanned"])
def test_trained_at_one_size_it_is_the_network_of_that_size_to_the_bit(tmp_path, form):
    fields = {"epochs": 2, "normalise": "scale", "augment": AUGMENTED, "form": form}
    own = trained(tmp_path / "own", {**NETWORK, "input_shape": [8, 8, 1]}, **fields)
    run = trained(tmp_path / "run", sizes=[[0, 8]], **fields)
    assert digest(run) == digest(own)
    assert run.plan.input_shape == (12, 12, 1) and run.preprocessing().size == (12, 12, 1)
    assert run.model().input_shape == (None, 12, 12, 1)
    assert run.folder.provenance()["training_sizes"] == "8x8 from epoch 1"
    # and it is watched as it is evaluated, at the network's own size
    assert run.folder.metrics()[-1]["val_accuracy"] == pytest.approx(run.evaluate().top1, abs=1e-6)


CHANGING = {
    "epochs": 3,
    "checkpoint_steps": 2,
    "ema": 0.9,
    "sizes": [[0, 8], [0.34, 12], [0.67, 16]],
    "augment": {"pad_crop": 2, "cutmix": 1.0, "repeats": 2},
    "schedule": {"kind": "cosine", "warmup": 0.2},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("whole") / "run", **CHANGING)


# 5 steps an epoch: sizes change after steps 5 and 10
@pytest.mark.sample(3)
@pytest.mark.parametrize("step", [3, 5, 6, 8, 11, 12])
def test_interrupted_before_at_or_after_a_change_it_goes_on_to_the_same_bits(whole, tmp_path, step):
    with pytest.raises(Failing):
        trained(tmp_path / "run", callbacks=[stopping_at(step)], **CHANGING)
    told = []
    run = trained(tmp_path / "run", resume=True, tell=told.append, **CHANGING)
    assert any(line.startswith("resume: continuing after epoch") for line in told)
    assert digest(run) == digest(whole)
    kept = [
        [{name: value for name, value in row.items() if name != "seconds"} for row in one.folder.metrics()]
        for one in (run, whole)
    ]
    assert kept[0] == kept[1]


def test_a_change_is_told_where_it_happens(tmp_path, capfd):
    told = []
    trained(tmp_path / "run", tell=told.append, **CHANGING)
    assert "sizes: 8x8 from epoch 1, 12x12 from epoch 2, 16x16 from epoch 3" in told
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith(("epoch", "training on"))]
    assert [line.split("  ")[0] for line in lines] == [
        *("training on images of 8x8", "epoch 1/3", "training on images of 12x12", "epoch 2/3"),
        *("training on images of 16x16", "epoch 3/3"),
    ]


def test_more_epochs_would_have_had_other_images(tmp_path):
    fields = {"sizes": [[0, 8], [0.5, 12]], "schedule": {"kind": "constant"}}
    trained(tmp_path / "run", epochs=2, **fields)
    with pytest.raises(ReskerasError, match="would change the images of finished epochs, because sizes are relative"):
        trained(tmp_path / "run", epochs=4, resume=True, **fields)
    one = {"sizes": [[0, 8]], "schedule": {"kind": "constant"}}
    trained(tmp_path / "one", epochs=1, **one)
    assert len(trained(tmp_path / "one", epochs=2, resume=True, **one).folder.metrics()) == 2


def test_batches_have_the_size_of_their_epoch_and_those_watched_the_networks():
    split = coloured(24, size=16)
    source = Source("set", "set", tuple("abcdefg"), 3, split, split)
    chosen = recipe("quick", batch_size=8, epochs=4, holdout=0.0, sizes=[[0, 8], [0.5, 24]], normalise="per_pixel_mean")
    pixels = Preprocessing.fit(split, 16, 16, 3, "per_pixel_mean")
    feed = Feed(chosen, source, pixels, open_replicas("one"))
    for epoch, side in enumerate((8, 8, 24, 24)):
        now = feed.at(epoch)
        images, _ = next(iter(now.training(epoch, 0, epoch + 1).map(now.finished)))
        assert images.shape == (8, side, side, 3)
        assert now.steps_per_epoch == feed.steps_per_epoch == 3
    watched, _ = feed.watching()
    assert next(iter(watched))[0].shape == (8, 16, 16, 3)
    assert feed.at(3) is feed.at(2) and feed.at(0) is not feed


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


@pytest.mark.slow
def test_two_replicas_change_sizes_as_one_does(tmp_path):
    fields = "{sizes: [[0, 8]], sync_bn: true}"
    for name, how in (("one", ("one", 0)), ("two", ("mirrored", 2))):
        done = trained_on(tmp_path / name, *how, fields)
        assert done.returncode == 0, done.stderr
    assert_equal_but_for_rounding(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
def test_xla_compiles_a_step_for_each_size(tmp_path, recwarn):
    fields = {**CHANGING, "deterministic": False}  # Keras gives XLA up where ops are to be deterministic
    plain, compiled = trained(tmp_path / "plain", **fields), trained(tmp_path / "xla", **fields, xla=True)
    assert not [str(each.message) for each in recwarn if "jit_compile" in str(each.message)]
    ours, theirs = read(compiled.model()), read(plain.model())
    apart = np.concatenate([np.abs(ours[name] - theirs[name]).ravel() for name in ours])
    assert np.mean(apart > 1e-3) < 0.02
