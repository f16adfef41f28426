"""Boxes are drawn where they are, in colours that are told apart, with labels that can be read."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from PIL import Image, ImageFont

from reskeras.report.styles import BRIGHT
from reskeras.tasks.detection.detections import Detection
from reskeras.tasks.detection.drawn_boxes import (
    Mark,
    colour_of,
    cropped,
    draw_boxes,
    draw_grid,
    enlarged,
    found_marks,
    placed_labels,
    true_marks,
)

GREY = 128
CLASSES = tuple(f"class {number}" for number in range(20))


def plain(height=240, width=320):
    return np.full((height, width, 3), GREY, np.uint8)


def rgb(colour):
    return np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)])


def of_colour(image, colour):
    """Where, bool (height, width), a picture has exactly that colour."""
    return (np.asarray(image) == rgb(colour)).all(axis=-1)


@pytest.mark.parametrize("colour", BRIGHT)
def test_a_box_is_drawn_along_its_edges_and_nowhere_else(colour):
    pixels = plain()
    image = draw_boxes(pixels, [Mark((50.0, 40.0, 150.0, 300.0), colour)])
    rows, columns = np.nonzero(of_colour(image, colour))
    assert (rows.min(), columns.min(), rows.max(), columns.max()) == (50, 40, 149, 299)
    changed = (np.asarray(image) != GREY).any(axis=-1)
    assert not changed[54:146, 44:296].any()  # inside
    outside = np.ones_like(changed)
    outside[49:151, 39:301] = False
    assert not changed[outside].any()
    assert (pixels == GREY).all()


def test_the_size_is_the_images_own():
    for size in ((240, 320), (48, 64), (1, 1), (3, 900), (1500, 1200)):
        whole = Detection("class 3", 0.5, (0.0, 0.0, *map(float, size)), 0)
        image = draw_boxes(plain(*size), found_marks([whole], CLASSES))
        assert (image.height, image.width) == size


def ring(box, outwards, inwards):
    """Where, bool (240, 320), are the pixels from so many outside the edges of a box to so many inside."""
    top, left, bottom, right = box
    bottom, right = max(bottom, top + 1), max(right, left + 1)  # a box without area is drawn as a dot
    inside = np.zeros((240, 320), bool)
    for grown, value in ((outwards, True), (-inwards, False)):
        inside[max(top - grown, 0) : max(bottom + grown, 0), max(left - grown, 0) : max(right + grown, 0)] = value
    return inside


@pytest.mark.parametrize(
    "box",
    [
        (-50, -50, 20, 20),
        (200, 300, 500, 500),
        (10, 10, 10, 10),
        (10, 10, 11, 200),
        (900, 900, 950, 950),
        (0, 0, 240, 320),
        (30, 20, 10, 5),
    ],
)
@pytest.mark.parametrize("dashed", [False, True])
def test_of_any_box_the_edges_are_drawn_that_are_in_the_image(box, dashed):
    mark = Mark(tuple(map(float, box)), BRIGHT[0], "a label", "a", dashed)
    bare, labelled = (draw_boxes(plain(), [each]) for each in (mark.plain(), mark))
    changed, edges = (np.asarray(bare) != GREY).any(axis=-1), ring(box, 0, 1)
    assert changed.any() == edges.any() == (box[0] < 900)
    assert not changed[~ring(box, 3, 3)].any()
    drawn = of_colour(bare, BRIGHT[0])
    if edges.any() and min(box[2] - box[0], box[3] - box[1]) > 1:
        assert drawn[edges].mean() > 0.4 if dashed else drawn[edges].all()
    assert (of_colour(labelled, BRIGHT[0]) & ~drawn).any() == edges.any()


def test_truth_is_dashed_and_detections_are_not():
    box = (50.0, 50.0, 200.0, 250.0)
    solid, dashed = (
        of_colour(draw_boxes(plain(), [Mark(box, BRIGHT[0], dashed=dashed)]), BRIGHT[0]) for dashed in (False, True)
    )
    for edge in (np.s_[50, 50:250], np.s_[50:200, 50], np.s_[199, 50:250], np.s_[50:200, 249]):
        assert solid[edge].all()
        assert 0.4 < dashed[edge].mean() < 0.7
        assert dashed[edge][0] and dashed[edge][-1]  # corners are told
        assert np.count_nonzero(np.diff(dashed[edge].astype(int)) == 1) >= 4


def test_a_class_has_one_colour_wherever_it_is_drawn():
    told = found_marks(
        [Detection(name, 0.5, (0.0, 0.0, 9.0, 9.0), label) for label, name in enumerate(CLASSES)], CLASSES
    )
    true = true_marks(np.zeros((20, 4)), np.arange(20), CLASSES)
    assert (
        [mark.colour for mark in told]
        == [mark.colour for mark in true]
        == [colour_of(name, CLASSES) for name in CLASSES]
    )
    assert all(one.colour != other.colour for one, other in pairwise(told))


def luminance(colour):
    parts = np.asarray(colour) / 255
    return np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("colour", BRIGHT)
def test_the_text_of_a_label_stands_out_from_its_ground(colour):
    """WCAG 2.1: 4.5 to 1."""
    image = np.asarray(draw_boxes(plain(), [Mark((100.0, 100.0, 200.0, 200.0), colour, "MMMMM")]))
    found = image[80:100, 100:150].reshape(-1, 3)
    light, dark = luminance(found).max(), luminance(found).min()
    ground = luminance(rgb(colour))
    assert (max(light, ground) + 0.05) / (min(dark, ground) + 0.05) >= 4.5


def crowd(count, seed=0, size=(480, 640)):
    generator = np.random.default_rng(seed)
    marks = []
    for number in range(count):
        top, left = generator.integers(-20, size[0] - 10), generator.integers(-20, size[1] - 10)
        high, wide = generator.integers(5, 150, 2)
        marks.append(
            Mark(
                tuple(map(float, (top, left, top + high, left + wide))),
                BRIGHT[number % 7],
                f"class {number % 7} 0.{99 - number % 90:02d}",
                f"0.{99 - number % 90:02d}",
            )
        )
    return marks


@pytest.mark.parametrize("count", [1, 10, 300])
def test_labels_lie_whole_in_the_image_and_on_no_other(count):
    placed = placed_labels(crowd(count), ImageFont.load_default(13), (640, 480))
    for _, _, (left, top, right, bottom) in placed:
        assert 0 <= left < right <= 640 and 0 <= top < bottom <= 480
    for (_, _, one), (_, _, other) in combinations(placed, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    assert len(placed) >= min(count, 60)


def test_in_a_crowd_the_surest_have_their_names():
    placed = placed_labels(crowd(300), ImageFont.load_default(13), (640, 480))
    named = [mark for mark, words, _ in placed if words == mark.label]
    assert named[:10] == crowd(300)[:10]
    assert any(words == mark.short for mark, words, _ in placed)


def test_a_label_is_by_its_box():
    font = ImageFont.load_default(13)
    for mark in crowd(40):
        for _, _, (left, top, right, bottom) in placed_labels([mark], font, (640, 480)):
            box = mark.box
            assert top <= box[2] and box[0] <= bottom and left <= max(box[3], box[1] + right - left) and box[1] <= right


def test_an_image_too_small_for_labels_has_none():
    marks = [Mark((5.0, 5.0, 30.0, 30.0), BRIGHT[0], "x", "x")]
    assert placed_labels(marks, ImageFont.load_default(10), (40, 40)) == []
    bare, labelled = (draw_boxes(plain(40, 40), each) for each in ([marks[0].plain()], marks))
    assert bare.tobytes() == labelled.tobytes()


@pytest.mark.parametrize("name", ["Übergröße", "кошка", "猫", "a" * 300, "<b>&amp;", "two\nlines"])
def test_any_name_of_a_class_can_be_drawn(name):
    marks = found_marks([Detection(name, 0.5, (50.0, 50.0, 100.0, 100.0), 0)], (name,))
    image, bare = (draw_boxes(plain(), each) for each in (marks, [marks[0].plain()]))
    label = (np.asarray(image) != np.asarray(bare)).any(axis=-1)
    ground = of_colour(image, marks[0].colour) & label
    assert ground.sum() > 0.3 * label.sum() > 0
    letters = label & ~ground
    assert letters.any(axis=0).sum() > 10 and letters.any(axis=1).sum() >= 5


def test_the_first_mark_lies_on_top():
    box = (50.0, 50.0, 150.0, 150.0)
    image = draw_boxes(plain(), [Mark(box, BRIGHT[0]), Mark(box, BRIGHT[1])])
    assert of_colour(image, BRIGHT[0])[50, 50:150].all()
    assert not of_colour(image, BRIGHT[1]).any()


def painted(box, height=200, width=300):
    """An image with one white block, and a mark around it."""
    pixels = plain(height, width)
    pixels[box[0] : box[2], box[1] : box[3]] = 255
    return pixels, [Mark(tuple(map(float, box)), BRIGHT[0])]


def bounds(pixels):
    rows, columns = np.nonzero(pixels[..., 0] > 190)
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


@pytest.mark.parametrize("side", [150, 300, 700])
def test_marks_stay_on_their_objects_when_an_image_is_enlarged(side):
    pixels, marks = enlarged(*painted((20, 100, 120, 160)), side)
    assert max(pixels.shape) == side
    np.testing.assert_allclose(marks[0].box, bounds(pixels), atol=1.5)


@pytest.mark.parametrize(
    "box",
    [
        (80, 100, 120, 160),
        (0, 0, 20, 20),
        (180, 280, 200, 300),
        (0, 0, 200, 300),
        (10, 100, 190, 120),
        (90, 150, 94, 154),
    ],
)
def test_a_part_cut_out_holds_the_whole_box_and_its_mark(box):
    pixels, marks = cropped(*painted(box), tuple(map(float, box)), 320)
    assert max(pixels.shape) == 320
    np.testing.assert_allclose(marks[0].box, bounds(pixels), atol=3)
    share = np.prod(np.subtract(marks[0].box[2:], marks[0].box[:2])) / np.prod(pixels.shape[:2])
    assert share > 0.005


def test_a_grid_has_what_is_annotated_beside_what_is_found():
    truth, told = ([Mark((20.0, 20.0, 80.0, 80.0), colour)] for colour in BRIGHT[:2])
    grid = draw_grid([("one", plain(100, 200), truth, told), ("two", plain(200, 100), [], told)], 300)
    assert isinstance(grid, Image.Image)
    places = [np.nonzero(of_colour(grid, colour)) for colour in BRIGHT[:2]]
    assert places[0][1].max() < grid.width / 2 < places[1][1].min()
    assert grid.height > 150 + 300
    assert grid.width > 600
