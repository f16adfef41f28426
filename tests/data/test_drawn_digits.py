"""Drawn digits: boxes are those of the pixels that differ from the background; scenes are always the same ones."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from reskeras.data.digits import TEST_SHARE
from reskeras.data.division import divided_by_position
from reskeras.data.drawn_digits import background, draw, drawn_scene, inked
from reskeras.errors import ReskerasError
from reskeras.tasks.detection.boxes import overlaps
from reskeras.tasks.detection.digits_boxes import SCENES
from reskeras.tasks.detection.opening import open_objects

DIGITS = load_digits()


@pytest.fixture(scope="module")
def source():
    return open_objects("digits-boxes")


def pixels(split, index):
    return np.asarray(Image.open(io.BytesIO(split.read(index).numpy())))


def box_of(mask):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]


@pytest.mark.parametrize("seed", range(40))
def test_the_box_of_a_digit_is_that_of_the_pixels_that_it_changes(seed):
    random = np.random.default_rng(seed)
    ink = inked(DIGITS.images[random.integers(len(DIGITS.images))], int(random.integers(6, 60)))
    before = background(random, (80, 70))
    after, corner = before.copy(), (int(random.integers(20)), int(random.integers(10)))
    box = draw(after, ink, corner, np.array([255, 255, 255]))
    assert box == box_of((after != before).any(axis=-1))


@pytest.mark.parametrize(("number", "split"), [(0, "train"), (1, "test")])
def test_every_box_of_the_set_is_that_of_the_pixels_that_differ_from_the_background(source, number, split):
    images = source.splits()[split]
    for index in range(0, images.count, 7):
        image, (boxes, labels, ignored) = pixels(images, index), images.rows(index)
        assert image.shape == (*SCENES.size, 3) and len(boxes) == len(labels) >= 1 and not ignored.any()
        drawn = (image != background(np.random.default_rng([SCENES.seed, number, index]), SCENES.size)).any(axis=-1)
        for top, left, bottom, right in boxes.astype(int).tolist():
            assert box_of(drawn[top:bottom, left:right]) == [0, 0, bottom - top, right - left]
            drawn[top:bottom, left:right] = False
        assert not drawn.any()  # nothing is drawn that has no box


def test_digits_are_as_large_as_promised_and_do_not_touch(source):
    for images in source.splits().values():
        sides = (images.boxes[:, 2:] - images.boxes[:, :2]).max(axis=1) / SCENES.size[0]
        assert (
            SCENES.sides[0] - 1.5 / SCENES.size[0] <= sides.min()
            and sides.max() <= SCENES.sides[1] + 1 / SCENES.size[0]
        )
        assert sides.min() < 0.2 and sides.max() > 0.5
        counts = np.diff(images.starts)
        assert {*np.unique(counts)} == {1, 2, 3, 4, 5}
        for index in range(images.count):
            boxes = images.rows(index)[0]
            assert not np.triu(overlaps(boxes, boxes).numpy(), 1).any()
        assert {*images.labels.tolist()} == {*range(10)}


def test_the_label_is_that_of_the_digit_and_no_test_digit_is_trained_on():
    train, test = divided_by_position(DIGITS.target, TEST_SHARE)
    assert not {*train.tolist()} & {*test.tolist()}
    random = np.random.default_rng(3)
    scene = drawn_scene(random, DIGITS.images, background(random, (60, 60)), (1, 1), (0.5, 0.5))
    [box], [chosen] = scene.boxes.astype(int), scene.chosen
    shape = inked(DIGITS.images[chosen], 30).shape
    assert shape == (box[2] - box[0], box[3] - box[1])  # one digit, where the scene says it is


def test_scenes_are_the_same_in_every_process_and_release(source):
    digest = hashlib.sha256()
    for images in source.splits().values():
        digest.update(images.boxes.astype("<i2").tobytes() + images.labels.astype("<i2").tobytes())
    assert digest.hexdigest()[:16] == "c7d3b9ac8bedc8b6"


def test_a_part_of_them_has_each_class_alike_and_all_test_images(source):
    part = open_objects("digits-boxes@40")
    assert (part.train.count, part.test.count, part.name) == (40, source.test.count, "digits-boxes@40")
    assert part.classes == source.classes and part.label == f"{source.label}, 40 training images"
    kept = [source.train.ids.index(name) for name in part.train.ids]
    assert kept == sorted(kept) and part.train.held(10).sum(axis=0).min() >= 4
    assert np.array_equal(part.train.rows(7)[0], source.train.rows(kept[7])[0])


@pytest.mark.parametrize("count", [0, 901])
def test_a_part_that_is_not_there_is_refused(count):
    with pytest.raises(ReskerasError, match=rf"digits-boxes@{count}: {count} images requested; use 1 \(one\) to 900"):
        open_objects(f"digits-boxes@{count}")
