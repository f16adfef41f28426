"""The rule of ILSVRC's localisation against loops over pixels and classes, on random scenes."""

import numpy as np
import pytest

from reskeras.tasks.localisation.rule import OVERLAP, covered, mean_sides, same_box, top, wrong
from tests.tasks.detection.scenes import SIDE, annotated, drawn

CLASSES = 4


def pixels(box):
    """A mask of the image in which a box of whole pixels is true."""
    mask = np.zeros((SIDE, SIDE), bool)
    top, left, bottom, right = np.clip(np.asarray(box, int), 0, SIDE)
    mask[top:bottom, left:right] = True
    return mask


def shared(one, other):
    a, b = pixels(one), pixels(other)
    return (a & b).sum() / max((a | b).sum(), 1)


def scene(seed):
    """Objects, and a box for each image and class: an object of it, moved, or anywhere."""
    generator = np.random.default_rng(seed)
    split, _ = drawn(generator, CLASSES + 1)
    boxes = np.zeros((split.count, CLASSES, 4), np.float32)
    for image, label in np.ndindex(split.count, CLASSES):
        objects, labels, _ = split.rows(image)
        own = objects[labels == label]
        if len(own) and generator.random() < 0.8:
            boxes[image, label] = np.clip(own[0] + generator.integers(-9, 10, 4), 0, SIDE)
        else:
            corner = generator.integers(0, 100, 2)
            boxes[image, label] = [*corner, *(corner + generator.integers(1, 100, 2))]
    return split, boxes


@pytest.mark.parametrize("seed", range(6))
def test_right_and_wrong_are_those_of_loops_over_pixels(seed):
    split, boxes = scene(seed)
    best, true = covered(split, boxes), split.held(CLASSES)
    scores = np.random.default_rng(seed).normal(size=(split.count, CLASSES))
    for count in (1, 2, CLASSES):
        missed = 0
        for image in range(split.count):
            guesses = sorted(range(CLASSES), key=lambda label: -scores[image, label])[:count]
            assert top(scores, count)[image].tolist() == guesses
            missed += not any(
                shared(boxes[image, label], box) >= OVERLAP
                for label in guesses
                for box, own, ignored in zip(*split.rows(image), strict=True)
                if own == label and not ignored
            )
        assert wrong(best >= OVERLAP, top(scores, count)) == pytest.approx(missed / split.count)
    for image, label in np.ndindex(split.count, CLASSES):
        own = [box for box, name, ignored in zip(*split.rows(image), strict=True) if name == label and not ignored]
        assert true[image, label] == bool(own)
        assert best[image, label] == pytest.approx(max((shared(boxes[image, label], box) for box in own), default=0))


def test_any_instance_counts_and_difficult_ones_do_not():
    split = annotated([[(0, 0, 10, 10, 0), (50, 50, 90, 90, 0), (100, 100, 120, 120, 1, "difficult")]])
    boxes = np.float32([[[52, 50, 90, 90], [100, 100, 120, 120]]])
    assert covered(split, boxes)[0].tolist() == pytest.approx([38 / 40, 0])
    assert split.held(2).tolist() == [[True, False]]
    half = np.float32([[[0, 0, 20, 5], [0, 0, 9, 9]]])  # half of the union exactly, in whole pixels
    assert covered(annotated([[(0, 0, 20, 10, 0)]]), half)[0, 0] == OVERLAP


def test_boxes_that_know_nothing_are_shares_of_each_image():
    split = annotated([[(0, 0, 100, 50, 0)], [(100, 150, 200, 200, 1)]])
    assert mean_sides(split).tolist() == [0.25, 0.375, 0.75, 0.625]
    assert same_box(split, (0.25, 0, 1, 0.5), 3)[1, 2].tolist() == [0.25 * SIDE, 0, SIDE, 0.5 * SIDE]
