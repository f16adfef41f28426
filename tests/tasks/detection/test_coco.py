"""`coco:PATH`: the layouts that people keep it in, and JSON that may come from anywhere."""

import json

import numpy as np
import pytest
import tensorflow as tf

from reskeras.errors import ReskerasError
from reskeras.tasks.detection.opening import open_objects
from tests.tasks.detection.folders import SIZE, coco_image, coco_json, coco_object, picture

HEIGHT, WIDTH = SIZE


def opened(root):
    return open_objects(f"coco:{root}")


def refusal(root, status=2):
    with pytest.raises(ReskerasError) as caught:
        opened(root)
    assert caught.value.status == status
    return str(caught.value)


def two(root, annotations, images=(), categories=None):
    """Image 7 and more for training, with `annotations`, and image 8 with a cat for test."""
    pixels = picture(root / "train2017" / "seven.png")
    picture(root / "val2017" / "eight.png", seed=8)
    coco_json(
        root / "annotations" / "instances_train2017.json",
        [coco_image(7, "seven.png"), *images],
        annotations,
        categories,
    )
    coco_json(root / "annotations" / "instances_val2017.json", [coco_image(8, "eight.png")], [coco_object(8)])
    return pixels


def test_boxes_classes_and_crowds_are_read(tmp_path):
    pixels = two(
        tmp_path,
        [
            coco_object(7, 3, (10, 5, 20, 15.5), segmentation=[[1, 2, 3]]),
            coco_object(7, 1, (0, 0, WIDTH, HEIGHT), iscrowd=1),
        ],
    )
    source = opened(tmp_path)
    boxes, labels, ignored = source.train.rows(0)
    np.testing.assert_array_equal(boxes, np.array([[5, 10, 20.5, 30], [0, 0, HEIGHT, WIDTH]], np.float32))
    assert source.classes == ("cat", "dog")
    np.testing.assert_array_equal(labels, [1, 0])
    np.testing.assert_array_equal(ignored, [False, True])
    np.testing.assert_array_equal(source.train.crowd, [False, True])
    assert (source.train.ids, source.test.ids) == ((7,), (8,))
    assert source.divided == "the file instances_val2017.json"
    assert source.notes == ("1 crowd is ignored: it counts neither when found nor when missed",)
    np.testing.assert_array_equal(source.train.images().example(tf.constant(0, tf.int64))[0], pixels)


def test_classes_are_the_categories_by_number_and_those_of_test_go_by_name(tmp_path):
    two(tmp_path, [coco_object(7, 2)], categories={10: "ant", 9: "zebra", 2: "cat"})
    coco_json(
        tmp_path / "annotations" / "instances_val2017.json",
        [coco_image(8, "eight.png")],
        [coco_object(8, 1), coco_object(8, 4), coco_object(8, 5)],
        {1: "zebra", 4: "yak", 5: "cat"},
    )
    source = opened(tmp_path)
    assert source.classes == ("cat", "zebra", "ant")
    np.testing.assert_array_equal(source.test.labels, [1, 0])
    assert source.notes == ("1 object of a class not in the training images is skipped: eight.png (yak)",)


@pytest.mark.parametrize(
    ("json_file", "folder", "file_name"),
    [
        ("annotations/instances_train2017.json", "train2017", "a.png"),
        ("annotations/instances_train2017.json", "images/train2017", "a.png"),
        ("annotations/instances_train.json", "train2014", "a.png"),
        ("annotations/instances_train.json", "images/training", "a.png"),
        ("annotations/instances_train.json", "images", "a.png"),
        ("annotations/instances_train.json", "images", "images/a.png"),
        ("annotations/instances_val2017.json", "val2017", "a.png"),
        ("annotations/labels.json", "images", "a.png"),
        ("labels.json", "images", "deeper/a.png"),
        ("labels.json", ".", "a.png"),
    ],
)
def test_images_are_found_in_the_layouts_that_people_keep(tmp_path, json_file, folder, file_name):
    place = tmp_path if file_name.startswith("images/") else tmp_path / folder
    names = [file_name.replace("a.png", f"{index}.png") for index in range(10)]
    for name in names:
        picture(place / name)
    coco_json(
        tmp_path / json_file,
        [coco_image(index, name) for index, name in enumerate(names)],
        [coco_object(index) for index in range(10)],
    )
    source, again = opened(tmp_path), opened(tmp_path)
    assert (source.train.count, source.test.count) == (8, 2)
    assert source.test.ids == again.test.ids
    assert source.notes == ("no test images: 2 of 10 images are held out for testing",)


def test_test_is_preferred_to_val_unless_its_objects_are_withheld(tmp_path):
    two(tmp_path, [coco_object(7)])
    picture(tmp_path / "test2017" / "nine.png")
    file, images = tmp_path / "annotations" / "instances_test2017.json", [coco_image(9, "nine.png")]
    coco_json(file, images, [coco_object(9)])
    assert opened(tmp_path).test.ids == (9,)
    coco_json(file, images, [])
    source = opened(tmp_path)
    assert source.test.ids == (8,)
    assert source.notes == ("instances_test2017.json has no objects and is not used",)


@pytest.mark.parametrize(
    "box",
    [
        None,
        "1234",
        [1, 2, 3],
        [1, 2, 3, 4, 5],
        [1, 2, 3, None],
        [1, 2, 3, "4"],
        [1, 2, 3, True],
        {"a": 1},
        [1, 2, float("nan"), 4],
        [1, 2, 3, float("inf")],
        [1, 2, 10**4000, 3],
        [1, 2, [3], 4],
        [-1e308, 0, -1e308, 4],
    ],
)
def test_what_is_no_box_is_left_out(tmp_path, box):
    two(tmp_path, [coco_object(7), {**coco_object(7), "bbox": box}])
    source = opened(tmp_path)
    assert len(source.train.labels) == 1
    assert source.notes == ("1 object without a box of four finite numbers is skipped: seven.png",)


def test_an_image_of_which_no_object_is_left_is_no_background(tmp_path):
    picture(tmp_path / "train2017" / "nine.png", seed=9)
    two(tmp_path, [coco_object(7), {**coco_object(9), "bbox": [5, 5, 0, 9]}], [coco_image(9, "nine.png")])
    source = opened(tmp_path)
    assert source.train.ids == (7,)
    assert source.notes == (
        "1 box without height or width is skipped: nine.png",
        "1 image is left out, because every object annotated in it is skipped: nine.png",
    )


def test_shares_of_the_image_are_refused(tmp_path):
    two(tmp_path, [coco_object(7, box=(0.25, 0.5, 0.5, 0.5))])
    coco_json(tmp_path / "annotations" / "instances_val2017.json", [coco_image(8, "eight.png")], [])
    assert refusal(tmp_path) == (
        f"data: every box of coco:{tmp_path} lies between 0 and 1, as a share of the image; boxes should be in pixels"
    )


@pytest.mark.parametrize(
    ("box", "kept", "note"),
    [
        ((5, 5, 0, 9), None, "1 box without height or width is skipped"),
        ((5, 5, 9, -3), None, "1 box without height or width is skipped"),
        ((WIDTH, 5, 9, 3), None, "1 box outside its image is skipped"),
        ((50, 30, 20, 20), (30, 50, HEIGHT, WIDTH), "1 box extends beyond its image and is clipped"),
        ((50, 30, 10.0000001, 10), (30, 50, HEIGHT, WIDTH), None),  # rounding
    ],
)
def test_boxes_that_are_flat_outside_or_reach_over_are_told(tmp_path, box, kept, note):
    two(tmp_path, [coco_object(7), coco_object(7, box=box)])
    source = opened(tmp_path)
    assert [tuple(each) for each in source.train.boxes[1:]] == ([kept] if kept else [])
    assert source.notes == ((f"{note}: seven.png",) if note else ())


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "deeper/../../seven.png", "", "..", None])
def test_a_name_that_leads_out_of_the_folder_is_not_followed(tmp_path, name):
    picture(tmp_path / "seven.png")
    root = tmp_path / "set"
    two(root, [coco_object(7), coco_object(1)], [coco_image(1, name)])
    source = opened(root)
    assert source.train.ids == (7,)
    if name is not None:
        assert source.notes == (f"1 image has a path outside the folder and is skipped: {name}",)


@pytest.mark.parametrize("name", ["gone.png", "no\0name.png", "n" * 5000, "\ud800.png", "torn.png", "deeper"])
def test_missing_broken_and_impossible_files_are_left_out_with_their_objects(tmp_path, name):
    two(tmp_path, [coco_object(1), coco_object(7)], [coco_image(1, name)])
    (tmp_path / "train2017" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "train2017" / "deeper").mkdir()
    source = opened(tmp_path)
    assert (source.train.ids, len(source.train.labels)) == ((7,), 1)
    [note] = source.notes
    assert note.startswith("1 annotated image is missing or cannot be read and is skipped: ")
    assert note.isprintable()


def test_images_listed_twice_without_an_id_or_in_both_files_and_stray_objects_are_told(tmp_path):
    more = [
        coco_image(7, "other.png"),
        {"file_name": "nameless.png"},
        coco_image([1], "odd.png"),
        coco_image(5, "five.png", (9, 9)),
    ]
    two(tmp_path, [coco_object(7), coco_object(99), coco_object([7]), coco_object(7, 77), coco_object(7, [1])], more)
    picture(tmp_path / "train2017" / "five.png")
    source = opened(tmp_path)
    assert source.train.ids == (7, 5)
    assert source.notes == (
        "2 annotations cannot be read and are skipped: nameless.png (no id), odd.png (no id)",
        "1 image is listed twice and used once: 7",
        "1 image differs in size from its annotation; its actual size is used: five.png",
        "2 objects belong to no image and are skipped: annotation 1",
        "2 objects have no class, or one that the annotations do not list, and are skipped: seven.png",
        "1 image has no object and is kept as background",
    )
    np.testing.assert_array_equal(source.train.sizes, [SIZE, SIZE])


def test_an_image_of_both_files_is_for_test_alone(tmp_path):
    two(tmp_path, [coco_object(7), coco_object(3)], [coco_image(3, "../shared/x.png")])
    for file, number in (("instances_train.json", 3), ("instances_val.json", 4)):
        coco_json(
            tmp_path / "both" / "annotations" / file,
            [coco_image(number, "x.png"), coco_image(9, f"{file}.png")],
            [coco_object(number), coco_object(9)],
        )
        picture(tmp_path / "both" / "images" / f"{file}.png")
    picture(tmp_path / "both" / "images" / "x.png")
    source = opened(tmp_path / "both")
    assert (source.train.ids, source.test.ids) == ((9,), (4, 9))
    assert source.notes == ("1 training image is also a test image and is removed from training: x.png",)


def test_an_image_with_an_absurd_number_of_objects_is_left_out(tmp_path):
    picture(tmp_path / "train2017" / "one.png")
    two(tmp_path, [*([coco_object(1)] * 100_001), coco_object(7)], [coco_image(1, "one.png")])
    source = opened(tmp_path)
    assert source.train.ids == (7,)
    assert source.notes == ("1 image has more than 100,000 objects and is skipped: one.png",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read as JSON"),
        ("", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("[]", "no list of images"),
        ('{"images": []}', "no list of annotations"),
        ('{"images": [1], "annotations": []}', "no list of images"),
        ('{"images": [], "annotations": [], "categories": {}}', "no list of categories"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "without an id, or without a valid name"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a\\nb"}]}', "without a valid name"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}',
            "two categories with the same id or name",
        ),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
            "the same id or name",
        ),
        ("\xff\xfe{", "cannot be read as JSON"),
    ],
)
def test_json_of_another_kind_is_refused_with_what_it_lacks(tmp_path, text, words):
    two(tmp_path, [])
    file = tmp_path / "annotations" / "instances_train2017.json"
    file.write_bytes(text.encode("latin-1"))
    message = refusal(tmp_path, 1)
    assert words in message
    assert str(file) in message


def test_a_json_beyond_the_bound_is_not_read(tmp_path):
    two(tmp_path, [])
    with open(tmp_path / "annotations" / "instances_train2017.json", "r+b") as file:
        file.truncate(2_000_000_001)  # a sparse file
    assert "larger than 2,000,000,000 bytes" in refusal(tmp_path, 1)


def test_folders_of_another_kind_are_refused_by_what_they_lack(tmp_path):
    assert "folder not found" in refusal(tmp_path / "absent")
    assert "it has no JSON" in refusal(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(json.dumps({}))
    assert "it has a.json, b.json" in refusal(tmp_path)
    two(tmp_path, [coco_object(7)])
    (tmp_path / "train2017" / "seven.png").unlink()
    assert "such as seven.png, are not in" in refusal(tmp_path)
    coco_json(tmp_path / "annotations" / "instances_train2014.json", [], [])
    assert "keep the one to train on" in refusal(tmp_path)
