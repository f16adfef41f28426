"""`labelme:PATH`: shapes as boxes, and JSON that breaks a rule."""

import json

import numpy as np
import pytest

from reskeras.errors import ReskerasError
from reskeras.tasks.detection.opening import open_objects
from tests.tasks.detection.folders import SIZE, by_id, labelme_json, picture
from tests.tasks.detection.photos import lies_on_the_object, object_of, photo, written

HEIGHT, WIDTH = SIZE
CAT = ("cat", "rectangle", [[10, 5], [30, 20]])


def opened(root):
    return open_objects(f"labelme:{root}")


def refusal(root, status=2):
    with pytest.raises(ReskerasError) as caught:
        opened(root)
    assert caught.value.status == status
    return str(caught.value)


def two(root, shapes=(CAT,), **more):
    """A folder of one image for training with these shapes, and one to test."""
    picture(root / "train" / "a.JPG")
    picture(root / "test" / "b.png")
    labelme_json(root / "test" / "b.json", [CAT, ("dog", "rectangle", [[1, 1], [9, 9]])], "b.png")
    return labelme_json(root / "train" / "a.json", shapes, "a.JPG", **more)


def by_hand(file):
    """The boxes of a JSON whose shapes are rectangles and polygons: (class, left, top, right, bottom)."""
    found = []
    for shape in json.loads(file.read_text())["shapes"]:
        x, y = zip(*shape["points"], strict=True)
        found.append((shape["label"], min(x), min(y), max(x), max(y)))
    return found


def test_rectangles_by_any_corners_and_polygons_have_the_boxes_around_them(tmp_path):
    file = two(
        tmp_path,
        [
            CAT,
            ("dog", "rectangle", [[50.5, 30.25], [41, 22]]),
            ("dog", "polygon", [[1, 2], [20.5, 3], [10, 39.5], [0.5, 30]]),
            ("cat", "rectangle", [[1, 1], [9, 1], [9, 8], [1, 8]]),
        ],
    )
    source = opened(tmp_path)
    assert by_id(source.train, source.classes)["train/a.JPG"] == by_hand(file)
    assert (source.classes, source.divided) == (("cat", "dog"), "the set's test images")
    assert source.notes == ("1 object has the box around its segmentation, having none of its own: train/a.json",)


def test_circles_and_masks_are_boxes_and_lines_and_points_are_left_out(tmp_path):
    two(
        tmp_path,
        [
            ("cat", "circle", [[20, 20], [23, 24]]),
            ("dog", "mask", [[10, 5], [29, 19]]),  # corners of the mask's first and last pixel
            ("dog", "point", [[1, 1]]),
            ("dog", "linestrip", [[1, 1], [5, 5], [9, 9]]),
            ("cat", None, [[0, 0], [4, 0], [4, 4]]),
        ],
    )
    source = opened(tmp_path)
    np.testing.assert_array_equal(source.train.boxes, [[15, 15, 25, 25], [5, 10, 20, 30], [0, 0, 4, 4]])
    assert "2 shapes without an area, lines or points, are skipped: train/a.json" in source.notes


def test_the_paths_of_images_go_from_their_json_and_other_json_is_left_out(tmp_path):
    for stem in "abcdefghij":
        picture(tmp_path / "photos" / f"{stem}.png")
        labelme_json(tmp_path / "annotations" / f"{stem}.json", [CAT], f"../photos/{stem}.png")
    picture(tmp_path / "photos" / "new.png")
    (tmp_path / "settings.json").write_text("{}")
    source = opened(tmp_path)
    assert (source.train.count, source.test.count) == (8, 2)
    assert source.notes == (
        "no test images: 2 of 10 images are held out for testing",
        "1 image is in no annotation and is skipped: photos/new.png",
    )


def test_an_image_that_is_only_in_the_json_is_told_apart_from_a_missing_one(tmp_path):
    two(tmp_path)
    labelme_json(tmp_path / "train" / "c.json", [CAT], "c.png", imageData="aGVsbG8=")
    labelme_json(tmp_path / "train" / "d.json", [CAT], "d.png")
    labelme_json(tmp_path / "train" / "e.json", [CAT], "e.png", imageData="aGVsbG8=")
    (tmp_path / "train" / "e.png").write_text("no image")
    source = opened(tmp_path)
    assert source.train.ids == ("train/a.JPG",)
    assert (
        "2 annotated images are missing or cannot be read and are skipped: train/d.json, train/e.json" in source.notes
    )
    assert (
        "1 image is only inside its annotation (imageData), which is not read, and is skipped; write it to its "
        "imagePath: train/c.json"
    ) in source.notes


@pytest.mark.parametrize("value", [1, 6, 8])
def test_shapes_lie_on_the_image_as_shown(tmp_path, value):
    two(tmp_path)
    path = written(tmp_path / "train" / "a.JPG", photo(value, "JPEG"))
    size, (left, top, right, bottom) = object_of(path)
    labelme_json(tmp_path / "train" / "a.json", [("cat", "rectangle", [[left, top], [right, bottom]])], "a.JPG", size)
    source = opened(tmp_path)
    assert lies_on_the_object(source.train, 0)
    assert any("EXIF" in note for note in source.notes) == (value > 1)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (("cat", "polygon", [[1, 1], [5, 5]]), "shapes[1]: a polygon of 2 points; it needs at least 3"),
        (("cat", "rectangle", [[1, 1]]), "shapes[1]: a rectangle of 1 points; it needs at least 2"),
        (("cat", "circle", [[1, 1], [2, 2], [3, 3]]), "shapes[1]: a circle of 3 points; it needs 2"),
        (("cat", "star", [[1, 1], [5, 5]]), "shape_type 'star' is not one of polygon, rectangle, circle"),
        (("cat", ["polygon"], [[1, 1], [5, 5]]), "shape_type ['polygon'] is not one of"),
        (("cat", "polygon", [[1, 1], [5, "5"], [3, 3]]), "should be a list of pairs of finite numbers"),
        (("cat", "polygon", [[1, 1], [5, float("nan")], [3, 3]]), "should be a list of pairs of finite numbers"),
        (("cat", "polygon", [[1, 1], [5, 10**400], [3, 3]]), "should be a list of pairs of finite numbers"),
        (("cat", "polygon", [1, 2, 3, 4]), "should be a list of pairs of finite numbers"),
        (("cat", "polygon", None), "should be a list of pairs of finite numbers"),
    ],
)
def test_a_shape_that_breaks_a_rule_is_named_with_it(tmp_path, shape, words):
    file = two(tmp_path, [CAT, shape])
    message = refusal(tmp_path)
    assert words in message
    assert f"{file}, shapes[1]: " in message


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("..\\photos\\a.png", "has backslashes; write paths with /"),
        ("../../etc/passwd", "'../../etc/passwd' leads out of"),
        ("/etc/passwd", "'/etc/passwd' leads out of"),
        ("", "'' is not a path"),
        (None, "None is not a path"),
        ("a\0.png", "is not a path"),
    ],
)
def test_a_path_that_breaks_a_rule_is_named_with_it(tmp_path, path, words):
    file = two(tmp_path, imagePath=path)
    message = refusal(tmp_path)
    assert f"{file}, imagePath: " in message
    assert words in message


def test_two_json_files_of_one_image_are_refused(tmp_path):
    two(tmp_path)
    labelme_json(tmp_path / "train" / "again.json", [CAT], "a.JPG")
    assert "an image with two annotations, train/a.json and train/again.json" in refusal(tmp_path)


def test_broken_json_and_other_folders_are_refused(tmp_path):
    file = two(tmp_path)
    text = file.read_text()
    file.write_text(text[:-1])
    assert "cannot be read as JSON" in refusal(tmp_path, 1)
    file.write_text(text.replace('"shapes": [', '"shapes": [7, '))
    assert "shapes should be a list of shapes" in refusal(tmp_path)
    (tmp_path / "none").mkdir()
    assert "none of its files is a JSON with shapes" in refusal(tmp_path / "none")
    assert "folder not found" in refusal(tmp_path / "absent")
