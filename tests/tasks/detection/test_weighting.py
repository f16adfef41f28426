"""What a recipe weights in the losses of detectors and localisers: focal loss of anchors, weights of classes."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from reskeras.recipes.recipe import recipe
from reskeras.tasks.detection.anchor_sampling import AnchorSampling
from reskeras.tasks.detection.anchors import anchor_grid
from reskeras.tasks.detection.loss_layers import ProposalLosses, RegionLosses
from reskeras.tasks.detection.object_feed import divided
from reskeras.tasks.detection.opening import open_objects
from reskeras.tasks.detection.weighting import NO_WEIGHTS, Weighting, logistic_losses
from reskeras.tasks.localisation.model import BACKGROUND, losses_of_classes
from tests.tasks.detection.test_layers import LABELS, MAP, OBJECTS, SHAPES, WINDOW, maps
from tests.training.test_losses import numpy_focal

FOCAL = {"kind": "focal", "gamma": 1.5, "alpha": 0.3}
SEED = np.int32([[3, 4]])


@pytest.mark.parametrize("alpha", [0.3, None])
def test_focal_losses_of_anchors_are_divided_by_the_positives(alpha):
    objectness, deltas = maps(1)
    how = {"positive": 0.5, "negative": 0.3, "sample": 40, "positives": 20}
    layer = ProposalLosses(name="l", levels=[SHAPES], inside=0.5, focal={**FOCAL, "alpha": alpha}, **how)
    plain = ProposalLosses(name="p", levels=[SHAPES], inside=0.5, **how)
    inputs = [objectness, deltas, WINDOW, OBJECTS[None], LABELS[None], SEED]
    found, boxes = layer(inputs)
    sample = AnchorSampling(**how, inside=0.5)(anchor_grid(*MAP, **SHAPES), *inputs[2:])
    chosen, real = sample.chosen.numpy()[0], sample.weights.numpy()[0] > 0
    positive = sample.positive.numpy()[0]
    losses = numpy_focal(objectness.reshape(-1)[chosen], positive, FOCAL["gamma"], alpha)
    assert 0 < positive.sum() < real.sum()
    assert float(found[0]) == pytest.approx(losses[real].sum() / positive.sum(), rel=1e-5)
    assert float(boxes[0]) == float(plain(inputs)[1][0])


def test_the_cross_entropy_of_a_region_is_weighted_by_its_class_and_its_boxes_are_not():
    generator = np.random.default_rng(4)
    logits, deltas = (generator.normal(size=(2, 5, n)).astype(np.float32) for n in (4, 12))
    labels, wanted = np.int32([[0, 1, 2, 3, 3], [2, 2, 0, 3, 1]]), generator.normal(size=(2, 5, 4)).astype(np.float32)
    real, weights = np.float32([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]), [0.5, 2.0, 7.0]
    inputs = [logits, deltas, labels, wanted, real]
    found, boxes = RegionLosses(name="w", classes=3, class_weights=weights)(inputs)
    for image in range(2):
        told = sum(
            [*weights, 1.0][label] * (np.log(np.exp(own).sum()) - own[label]) * one
            for own, label, one in zip(logits[image], labels[image], real[image], strict=True)
        )
        assert float(found[image]) == pytest.approx(told / real[image].sum(), rel=1e-5)
    np.testing.assert_array_equal(boxes, RegionLosses(name="r", classes=3)(inputs)[1])


@pytest.mark.parametrize("weighting", [Weighting(FOCAL), Weighting(FOCAL, (0.5, 2.0, 7.0)), NO_WEIGHTS])
def test_the_units_of_localisers_have_focal_loss_and_are_weighted_by_the_class_of_the_object(weighting):
    generator = np.random.default_rng(5)
    logits, labels = generator.normal(0, 2, (6, 3)).astype(np.float32), np.int32([0, 1, 2, BACKGROUND, 1, BACKGROUND])
    found, _ = losses_of_classes(logits, tf.zeros([6, 4]), tf.constant(labels), tf.zeros([6, 4]), 1, 1.0, weighting)
    gamma, alpha = (FOCAL["gamma"], FOCAL["alpha"]) if weighting.focal else (0, None)
    targets = np.eye(4)[labels][:, :3]
    by_class = [*(weighting.class_weights or (1, 1, 1)), 1]
    expected = numpy_focal(logits, targets, gamma, alpha).sum(axis=1) * np.take(by_class, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_weights_follow_the_objects_that_are_trained_on(shapes):
    source = open_objects(f"voc:{shapes}")
    chosen = recipe("detector", class_weights="balanced", holdout=0.25, loss="focal")
    train, held_out = divided(source, chosen)
    counts = Counter(train.labels[~train.ignored].tolist())
    assert held_out.count == 4 and len(counts) == 2
    found = Weighting.of(chosen, source)
    assert found.class_weights == pytest.approx([sum(counts.values()) / 2 / counts[label] for label in (0, 1)])
    assert found.focal == {"kind": "focal", "gamma": 2.0, "alpha": 0.25}
    assert sum(counts[label] * found.class_weights[label] for label in (0, 1)) == pytest.approx(sum(counts.values()))
    assert Weighting.of(recipe("detector", class_weights={"square": 3}), source) == Weighting(None, [1.0, 3.0])
    assert Weighting.of(recipe("detector"), source) == NO_WEIGHTS


@pytest.mark.peers
@pytest.mark.parametrize("alpha", [0.25, 0.9])
def test_focal_losses_are_torchvisions(alpha):
    import torch
    from torchvision.ops import sigmoid_focal_loss

    generator = np.random.default_rng(0)
    logits, targets = generator.normal(0, 4, (50, 7)).astype(np.float32), (generator.random((50, 7)) < 0.2) * 1.0
    theirs = sigmoid_focal_loss(torch.tensor(logits), torch.tensor(targets, dtype=torch.float32), alpha, 2.0)
    ours = logistic_losses(tf.constant(targets, tf.float32), logits, {"kind": "focal", "gamma": 2.0, "alpha": alpha})
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-4, atol=1e-7)
