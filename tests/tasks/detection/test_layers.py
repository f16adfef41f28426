"""What stands between a detector's networks, against loops over anchors and regions in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from reskeras.tasks.detection.anchor_sampling import smooth_l1
from reskeras.tasks.detection.anchors import anchor_grid
from reskeras.tasks.detection.average_precision import measured_overlaps
from reskeras.tasks.detection.boxes import window_clipped
from reskeras.tasks.detection.layers import ByImage, Proposals, RegionMaps, RegionTargets, WithContext
from reskeras.tasks.detection.loss_layers import ProposalLosses, RegionLosses
from reskeras.tasks.detection.objects import IGNORED, PADDING

SHAPES = {"sizes": [12.0, 24.0], "ratios": [0.5, 1.0], "stride": 8.0}
MAP = 5, 7
OBJECTS = np.float32([[4, 4, 20, 16], [10, 30, 34, 54], [0, 0, 0, 0]])
LABELS = np.int32([1, 0, PADDING])
WINDOW = np.float32([[0, 0, 38, 54]])


def maps(seed=0, count=4):
    """Objectness and deltas of one image, at random."""
    generator = np.random.default_rng(seed)
    return (
        generator.normal(size=(1, *MAP, count)).astype(np.float32),
        generator.normal(scale=0.3, size=(1, *MAP, 4 * count)).astype(np.float32),
    )


def moved(anchor, delta):
    """A box, in the words of R-CNN's appendix C."""
    height, width = anchor[2] - anchor[0], anchor[3] - anchor[1]
    y, x = (anchor[0] + anchor[2]) / 2 + delta[0] * height, (anchor[1] + anchor[3]) / 2 + delta[1] * width
    height, width = height * np.exp(delta[2]), width * np.exp(delta[3])
    return np.array([y - height / 2, x - width / 2, y + height / 2, x + width / 2])


def offset(box, anchor):
    """The way back."""
    sizes = [(each[2] - each[0], each[3] - each[1]) for each in (box, anchor)]
    centres = [((each[0] + each[2]) / 2, (each[1] + each[3]) / 2) for each in (box, anchor)]
    return np.array(
        [
            (centres[0][0] - centres[1][0]) / sizes[1][0],
            (centres[0][1] - centres[1][1]) / sizes[1][1],
            np.log(sizes[0][0] / sizes[1][0]),
            np.log(sizes[0][1] / sizes[1][1]),
        ]
    )


def share_inside(anchor, window=WINDOW[0]):
    """How much of an anchor lies in the image."""
    sides = np.minimum(anchor[2:], window[2:]) - np.maximum(anchor[:2], window[:2])
    return np.prod(np.maximum(sides, 0)) / np.prod(anchor[2:] - anchor[:2])


def test_proposals_are_the_best_moved_anchors_suppressed():
    objectness, deltas = maps()
    anchors = anchor_grid(*MAP, SHAPES["stride"], SHAPES["sizes"], SHAPES["ratios"]).numpy()
    found, probability, _ = Proposals(name="p", levels=[SHAPES], before=50, count=20, overlap=0.5)(
        [objectness, deltas, WINDOW]
    )
    scores, moves = objectness.reshape(-1), deltas.reshape(-1, 4)
    order = [index for index in np.argsort(-scores) if share_inside(anchors[index]) > 0.5][:50]
    boxes = np.array([np.clip(moved(anchors[index], moves[index]), 0, [38, 54, 38, 54]) for index in order])
    kept = []
    for place, box in enumerate(boxes):
        if min(box[2] - box[0], box[3] - box[1]) < 1:
            continue
        if all(measured_overlaps(box[None], boxes[other][None])[0, 0] <= 0.5 for other in kept):
            kept.append(place)
    kept = kept[:20]
    assert len(kept) > 5
    assert np.allclose(found[0, : len(kept)], boxes[kept], atol=1e-4)
    assert np.allclose(probability[0, : len(kept)], 1 / (1 + np.exp(-scores[order][kept])), atol=1e-5)
    assert np.count_nonzero(found[0, len(kept) :]) == np.count_nonzero(probability[0, len(kept) :]) == 0


def test_what_lies_beside_the_image_is_not_proposed_however_sure():
    """Nothing is learned there, and its anchors must not take the places of those that are in the image."""
    objectness, deltas = maps()
    window = np.float32([[0, 0, 16, 54]])
    layer = Proposals(name="p", levels=[SHAPES], before=12, count=12, overlap=0.9)
    expected = [values.numpy() for values in layer([objectness, deltas, window])]
    objectness[:, 4:] = 9
    assert np.count_nonzero(expected[1]) > 6
    for before, after in zip(expected, layer([objectness, deltas, window]), strict=True):
        assert np.array_equal(before, after)


def test_the_proposal_losses_are_those_of_the_paper():
    objectness, deltas = maps(1)
    anchors = anchor_grid(*MAP, SHAPES["stride"], SHAPES["sizes"], SHAPES["ratios"]).numpy()
    layer = ProposalLosses(name="l", levels=[SHAPES], positive=0.6, negative=0.3, sample=1000, positives=500)
    entropy, boxes = layer([objectness, deltas, WINDOW, OBJECTS[None], LABELS[None], np.int32([[0, 1]])])
    over = measured_overlaps(anchors, OBJECTS[:2])
    best = over.max(axis=0)
    expected, moving, count = 0.0, 0.0, 0
    for index, anchor in enumerate(anchors):
        if share_inside(anchor) <= 0.5:
            continue
        owners = [row for row in (0, 1) if over[index, row] == best[row]]
        positive = bool(owners) or over[index].max() >= 0.6
        if not positive and over[index].max() >= 0.3:
            continue
        logit, count = objectness.reshape(-1)[index], count + 1
        expected += np.log1p(np.exp(-logit if positive else logit))
        if positive:
            row = owners[0] if owners else over[index].argmax()
            for difference in np.abs(deltas.reshape(-1, 4)[index] - offset(OBJECTS[row], anchor)):
                moving += difference**2 * 4.5 if difference < 1 / 9 else difference - 1 / 18
    assert float(entropy[0]) == pytest.approx(expected / count, rel=1e-5)
    assert float(boxes[0]) == pytest.approx(moving / count, rel=1e-5)
    assert moving > 0


def test_an_object_that_an_anchor_beyond_the_image_fits_best_is_learned_by_another():
    """In a flat image the anchor nearest to a long object lies mostly outside of it, and teaches nothing."""
    anchors = anchor_grid(*MAP, SHAPES["stride"], SHAPES["sizes"], SHAPES["ratios"]).numpy()
    long = np.float32([[0, 0, 8, 54]])
    best = anchors[measured_overlaps(anchors, long)[:, 0].argmax()]
    assert share_inside(best, long[0]) < 0.5
    layer = ProposalLosses(name="l", levels=[SHAPES], positive=0.7, negative=0.3, sample=64, positives=32)
    _, boxes = layer([*maps(4), long, long[None], np.int32([[0]]), np.int32([[0, 1]])])
    assert float(boxes[0]) > 0


def test_an_image_without_objects_teaches_background_alone():
    objectness, deltas = maps(2)
    layer = ProposalLosses(name="l", levels=[SHAPES], positive=0.7, negative=0.3, sample=64, positives=32)
    nothing = np.full((1, 3), PADDING, np.int32)
    entropy, boxes = layer([objectness, deltas, WINDOW, np.zeros((1, 3, 4), np.float32), nothing, np.int32([[0, 1]])])
    assert float(boxes[0]) == 0
    assert np.isfinite(float(entropy[0]))
    regions, labels, wanted, weights = targets(np.float32([[0, 0, 9, 9], [5, 5, 30, 30]]), nothing[0])
    assert labels.tolist() == [2] * 8
    assert weights.sum() == 2
    assert np.count_nonzero(wanted) == 0
    assert np.isfinite(regions).all()


def targets(proposals, labels=LABELS, boxes=OBJECTS, **more):
    layer = RegionTargets(
        **{
            "name": "t",
            "classes": 2,
            "count": 8,
            "positives": 4,
            "positive": 0.5,
            "deviations": [0.1, 0.1, 0.2, 0.2],
            **more,
        }
    )
    return [values.numpy()[0] for values in layer([proposals[None], boxes[None], labels[None], np.int32([[3, 4]])])]


def test_regions_near_an_object_are_to_become_it():
    proposals = np.float32([[5, 4, 21, 17], [9, 31, 33, 50], [20, 0, 38, 20], [0, 0, 0, 0]])
    regions, labels, wanted, weights = targets(proposals)
    told = {
        tuple(region): (label, delta)
        for region, label, delta, weight in zip(regions, labels, wanted, weights, strict=True)
        if weight
    }
    assert len(told) == weights.sum() == 5  # two moved, two objects themselves, one background; the empty one is none
    for region, label, row in (((5, 4, 21, 17), 1, 0), ((9, 31, 33, 50), 0, 1), ((4, 4, 20, 16), 1, 0)):
        assert told[region][0] == label
        expected = offset(OBJECTS[row], region) / [0.1, 0.1, 0.2, 0.2]
        assert np.allclose(told[region][1], expected, atol=1e-4)
    assert told[20, 0, 38, 20][0] == 2
    assert np.count_nonzero(told[20, 0, 38, 20][1]) == 0


def test_of_objects_no_more_are_drawn_than_their_share():
    near = np.float32([[4 + step / 10, 4, 20, 16] for step in range(12)])
    _, labels, _, weights = targets(np.concatenate([near, np.float32([[20, 0, 38, 20]] * 9)]))
    assert (labels[weights > 0] < 2).sum() == 4
    assert weights.sum() == 8


def test_a_region_in_an_ignored_object_is_no_background():
    ignored = np.int32([1, IGNORED, PADDING])
    _, labels, _, weights = targets(np.float32([[11, 31, 33, 50], [20, 0, 38, 20]]), ignored)
    assert labels[weights > 0].tolist() == [1, 2]
    objectness, deltas = maps(3)
    layer = ProposalLosses(name="l", levels=[SHAPES], positive=0.7, negative=0.3, sample=1000, positives=500)
    inputs = [objectness, deltas, WINDOW, OBJECTS[None]]
    whole = np.float32([[[0, 0, 38, 54], [0, 0, 0, 0], [0, 0, 0, 0]]])
    seed = np.int32([[0, 1]])
    everywhere, _ = layer([*inputs[:3], whole, np.int32([[IGNORED, PADDING, PADDING]]), seed])
    assert float(everywhere[0]) == 0  # nothing is left to learn from


def test_the_region_losses_are_those_of_the_paper():
    generator = np.random.default_rng(4)
    logits, deltas = generator.normal(size=(2, 3, 3)), generator.normal(scale=2, size=(2, 3, 8))
    labels, wanted = np.int32([[0, 1, 2], [2, 2, 1]]), generator.normal(size=(2, 3, 4))
    weights = np.float32([[1, 1, 1], [1, 0, 1]])
    entropy, boxes = RegionLosses(name="r", classes=2)(
        [*(each.astype(np.float32) for each in (logits, deltas)), labels, wanted.astype(np.float32), weights]
    )
    for image in range(2):
        told, moved_by = 0.0, 0.0
        for region in np.flatnonzero(weights[image]):
            own = logits[image, region]
            told += np.log(np.exp(own).sum()) - own[labels[image, region]]
            if labels[image, region] < 2:
                place = 4 * labels[image, region]
                for difference in np.abs(deltas[image, region, place : place + 4] - wanted[image, region]):
                    moved_by += difference**2 / 2 if difference < 1 else difference - 0.5
        assert float(entropy[image]) == pytest.approx(told / weights[image].sum(), rel=1e-5)
        assert float(boxes[image]) == pytest.approx(moved_by / weights[image].sum(), rel=1e-5)


def test_smooth_l1_is_keras_huber_over_its_turn():
    values = tf.constant([[0.01, -0.3, 2.0, -0.05]])
    for turn in (1.0, 1 / 9):
        huber = keras.losses.Huber(delta=turn, reduction="sum")(tf.zeros_like(values), values) * 4
        assert float(smooth_l1(values, turn)[0]) == pytest.approx(float(huber) / turn, rel=1e-4)


def test_boxes_are_cut_to_the_window_that_shows_the_image():
    boxes = tf.constant([[[0, 0, 10, 10], [2, 3, 30, 30], [-5, -5, 1, 1]]], tf.float32)
    cut = window_clipped(boxes, tf.constant([[2, 4, 20, 24]], tf.float32)).numpy()[0]
    assert cut[:2].tolist() == [[2, 4, 10, 10], [2, 4, 20, 24]]
    assert (cut[2, 2:] <= cut[2, :2]).all()


def test_context_goes_with_the_regions_of_its_image():
    features = tf.concat([tf.reshape(tf.range(8.0), [4, 2]), [[10.0, 11.0], [20.0, 21.0]]], axis=0)
    boxes = tf.zeros([2, 2, 4])
    joined = WithContext(name="c")([features, boxes])
    assert joined.numpy().tolist() == [[0, 1, 10, 11], [2, 3, 10, 11], [4, 5, 20, 21], [6, 7, 20, 21]]
    assert ByImage(name="b")([joined, boxes]).numpy()[1, 0].tolist() == [4, 5, 20, 21]


@pytest.mark.parametrize("pool", ["align", "max"])
def test_regions_are_pooled_where_the_cells_look(pool):
    features = tf.constant(np.random.default_rng(0).normal(size=(1, 9, 7, 3)), tf.float32)
    boxes = tf.constant([[[16.0, 8, 48, 40], [3, 5, 30, 21]]])
    middle, shifted = (
        RegionMaps(name="m", pool=pool, size=3, points=2, levels=[{"stride": 8.0, "offsets": offsets}])
        for offsets in ((4.0, 4.0), (0.5, 7.0))
    )
    moved = boxes + tf.constant([-3.5, 3, -3.5, 3])
    assert np.allclose(middle([features, boxes]), shifted([features, moved]), atol=1e-5)


@pytest.mark.parametrize("pool", ["align", "max"])
def test_the_map_of_a_region_is_the_part_of_the_image_it_covers(pool):
    features = tf.reshape(tf.range(64.0), [1, 8, 8, 1])
    layer = RegionMaps(name="m", pool=pool, size=2, points=2, levels=[{"stride": 8.0, "offsets": (4.0, 4.0)}])
    found = layer([features, tf.constant([[[16, 16, 48, 48]]], tf.float32)]).numpy()[0, ..., 0]
    part = features.numpy()[0, 2:6, 2:6, 0].reshape(2, 2, 2, 2)
    expected = part.mean(axis=(1, 3)) if pool == "align" else part.max(axis=(1, 3))
    assert np.allclose(found, expected)
