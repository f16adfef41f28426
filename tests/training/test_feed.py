"""What a training is fed: class weights that neither smoothing nor mixing changes."""

from dataclasses import replace

import numpy as np
import pytest

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Source
from reskeras.errors import ReskerasError
from reskeras.recipes.recipe import recipe
from reskeras.tasks.classification.feed import Feed, weighted_shares
from reskeras.training.strategy import open_replicas
from tests.data.images import memory_split

COUNTS = (40, 8, 2)


@pytest.fixture(scope="module")
def skewed():
    """Images of three classes, 40, 8 and 2 of them."""
    labels = np.repeat(np.arange(3), COUNTS)
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8, 1)).astype(np.uint8)
    split = memory_split(pixels, labels)
    return Source("skewed", "skewed", ("common", "scarce", "rare"), 1, split, split)


def batches(source, epochs=1, **fields):
    chosen = recipe("quick", holdout=0.0, batch_size=source.train.count, class_weights="balanced", **fields)
    pixels = Preprocessing.fit(source.train, 8, 8, 1, "per_channel")
    feed = Feed(chosen, source, pixels, open_replicas("one"))
    return [[part.numpy() for part in batch] for batch in feed.training(0, 0, epochs).map(feed.finished)]


def class_shares(labels, weights, smoothing):
    """What the classes' labels contribute to the weights' sum, smoothing undone."""
    if labels.ndim == 1:
        labels = np.eye(3)[labels]
    hard = (labels - smoothing / 3) / (1 - smoothing)
    return (hard * weights[:, None]).sum(axis=0) / weights.sum()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.2, 0.9])
def test_balanced_classes_share_the_loss_equally_whatever_the_smoothing(skewed, smoothing):
    [(_, labels, weights)] = batches(skewed, label_smoothing=smoothing)
    assert weights.mean() == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(class_shares(labels, weights, smoothing), 1 / 3, rtol=1e-4)
    true = labels if labels.ndim == 1 else labels.argmax(axis=1)
    for index, count in enumerate(COUNTS):
        np.testing.assert_allclose(weights[true == index], 50 / (3 * count), rtol=1e-5)


@pytest.mark.sample(4)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("mix", [{"mixup": 0.2}, {"mixup": 1.0}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_mixed_images_count_share_by_share(skewed, mix, smoothing):
    epochs = batches(skewed, 60, label_smoothing=smoothing, augment={"pad_crop": 0, **mix})
    labels, weights = (np.concatenate([epoch[part] for epoch in epochs]) for part in (1, 2))
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)
    # an image is as often the partner of another as another is its own, so that this holds on average
    assert weights.mean() == pytest.approx(1.0, rel=0.05)
    np.testing.assert_allclose(class_shares(labels, weights, smoothing), 1 / 3, atol=0.025)


def test_classes_are_weighted_by_name(skewed):
    chosen = recipe("quick", batch_size=50, holdout=0.0, class_weights={"rare": 5, "common": 0.5})
    feed = Feed(chosen, skewed, Preprocessing.fit(skewed.train, 8, 8, 1, "scale"), open_replicas("one"))
    [(_, labels, weights)] = feed.training(0, 0, 1).map(feed.finished)
    np.testing.assert_array_equal(weights, np.take([0.5, 1, 5], labels))
    wrong = recipe(chosen, class_weights={"rar": 5})
    with pytest.raises(ReskerasError, match=r"class_weights: 'rar' is not one of .*; did you mean rare"):
        Feed(wrong, skewed, feed.preprocessing, open_replicas("one")).check()


def test_some_images_are_used_as_many_of_each_class_as_there_are_in_all(skewed):
    pixels = Preprocessing.fit(skewed.train, 8, 8, 1, "scale")

    def fed(**fields):
        return Feed(recipe("quick", **fields), skewed, pixels, open_replicas("one"))

    [(_, labels)] = fed(images=25, batch_size=25, holdout=0.0).training(0, 0, 1).map(fed().finished)
    assert np.bincount(labels).tolist() == [20, 4, 1]
    both = fed(images=25, holdout=0.2)
    assert (both.train.count, both.watched.count) == (20, 5)
    for count in (2, 51):
        with pytest.raises(ReskerasError, match=rf"images: {count} of the 50 .* use 3 \(one per class\) to 50"):
            fed(images=count)


def test_a_class_without_images_takes_no_share_of_the_loss(skewed):
    one_more = replace(skewed, classes=(*skewed.classes, "none"))
    [(_, labels, weights)] = batches(one_more)
    assert weights.mean() == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(class_shares(labels, weights, 0.0), 1 / 3, rtol=1e-4)


def test_a_weighted_mix_costs_what_its_parts_cost():
    generator = np.random.default_rng(1)
    shares, weights = generator.dirichlet(np.ones(4), 16).astype(np.float32), np.float32([0.3, 1.0, 2.5, 9.0])
    log_probabilities = np.log(generator.dirichlet(np.ones(4), 16))
    labels, totals = (part.numpy() for part in weighted_shares(shares, weights, 0.1))
    smoothed = 0.9 * np.eye(4) + 0.1 / 4
    by_part = [
        sum(shares[row, c] * weights[c] * -(smoothed[c] * log_probabilities[row]).sum() for c in range(4))
        for row in range(16)
    ]
    np.testing.assert_allclose(totals * -(labels * log_probabilities).sum(axis=1), by_part, rtol=1e-5)
