"""`yolo:PATH`: the layouts of Ultralytics, Roboflow, CVAT and labelImg, and labels that break a rule."""

import numpy as np
import pytest
import tensorflow as tf
import yaml

from reskeras.errors import ReskerasError
from reskeras.tasks.detection.opening import open_objects
from tests.tasks.detection.folders import SIZE, by_id, picture, yolo_image
from tests.tasks.detection.photos import lies_on_the_object, object_of, photo, written

HEIGHT, WIDTH = SIZE
NAMES = ("cat", "dog")


def opened(root):
    return open_objects(f"yolo:{root}")


def refusal(root, status=2):
    with pytest.raises(ReskerasError) as caught:
        opened(root)
    assert caught.value.status == status
    return str(caught.value)


def described(root, **fields):
    root.mkdir(exist_ok=True)
    (root / "data.yaml").write_text(yaml.safe_dump({"names": list(NAMES), **fields}, sort_keys=False))
    return root


def two(root, lines=("0 0.5 0.5 0.5 0.5",), **fields):
    """A folder of one image for training, with these labels, and one to test."""
    yolo_image(root, "images/train/a.png", lines)
    yolo_image(root, "images/val/b.png")
    return described(root, train="images/train", val="images/val", **fields)


def by_hand(root, images, size=SIZE):
    """What the labels beside those images say, read as the format's documentation has it: (class, left, top, right,
    bottom) in pixels."""
    found = []
    for line in (root / images.replace("images", "labels", 1)).with_suffix(".txt").read_text().splitlines():
        if not line:
            continue
        number, *values = line.split()
        values = [float(value) for value in values]
        if len(values) == 4:
            x, y, width, height = values
            box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        else:
            box = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
        found.append((NAMES[int(number)], *(side * times for side, times in zip(box, size[::-1] * 2, strict=True))))
    return found


LINES = (
    "1 0.5 0.25 0.25 0.125",
    "0 0.716797 0.395833 0.216406 0.147222",
    "",
    "0 0.1 0.1 0.6 0.1 0.6 0.55 0.05 0.4",
    "1 0.681 0.485 0.670 0.487 0.676 0.487",
)


def test_centres_and_polygons_become_boxes_in_pixels(tmp_path):
    two(tmp_path, LINES)
    source = opened(tmp_path)
    boxes, labels, _ = source.train.rows(0)
    np.testing.assert_allclose(boxes[0], [0.1875 * HEIGHT, 0.375 * WIDTH, 0.3125 * HEIGHT, 0.625 * WIDTH])
    np.testing.assert_allclose(boxes[2], [0.1 * HEIGHT, 0.05 * WIDTH, 0.55 * HEIGHT, 0.6 * WIDTH], rtol=1e-6)
    assert [NAMES[label] for label in labels] == ["dog", "cat", "cat", "dog"]
    found, expected = by_id(source.train, NAMES)["images/train/a.png"], by_hand(tmp_path, "images/train/a.png")
    assert [each[0] for each in found] == [each[0] for each in expected]
    np.testing.assert_allclose([each[1:] for each in found], [each[1:] for each in expected], rtol=1e-6)
    assert source.classes == NAMES
    assert source.divided == "the set's validation images"
    assert source.notes == (
        "2 objects have the boxes around their segmentations, having none of their own: images/train/a.png",
    )


@pytest.mark.peers
def test_supervision_reads_the_same_boxes(tmp_path):
    import supervision

    two(tmp_path, LINES)
    source = opened(tmp_path)
    theirs = supervision.DetectionDataset.from_yolo(
        str(tmp_path / "images" / "train"), str(tmp_path / "labels" / "train"), str(tmp_path / "data.yaml")
    )
    [(_, _, found)] = list(theirs)
    boxes, labels, _ = source.train.rows(0)
    # supervision keeps polygons as masks of whole pixels when there are any, boxes as they are
    np.testing.assert_allclose(found.xyxy[:2], boxes[:2, [1, 0, 3, 2]], atol=1e-3)
    np.testing.assert_allclose(found.xyxy, boxes[:, [1, 0, 3, 2]], atol=1)
    np.testing.assert_array_equal(found.class_id, labels)
    assert tuple(theirs.classes) == source.classes


def roboflow(root):
    """train/, valid/ and test/ with images/ beside labels/, and a data.yaml whose paths lead out and back."""
    for folder, stem in (("train", "a"), ("train", "b"), ("valid", "c"), ("test", "d")):
        yolo_image(root, f"{folder}/images/{stem}_jpg.rf.0a1b.JPG", ["1 0.5 0.5 0.2 0.2"])
    return described(
        root,
        train="../train/images",
        val="../valid/images",
        test="../test/images",
        nc=2,
        roboflow={"workspace": "me", "version": 3, "license": "CC BY 4.0"},
    )


def cvat(root):
    """CVAT's export in the format of darknet, with data/ before the paths of its list."""
    for stem in ("1", "2"):
        yolo_image(root, f"obj_train_data/{stem}.PNG")
    yolo_image(root, "obj_valid_data/3.png")
    (root / "obj.names").write_text("cat\ndog\n")
    (root / "obj.data").write_text("classes = 2\nnames = data/obj.names\ntrain = data/train.txt\n")
    (root / "train.txt").write_text("data/obj_train_data/1.PNG\nobj_train_data/2.PNG\n")
    (root / "valid.txt").write_text("data/obj_valid_data/3.png\n")
    return root


def listed(root):
    """CVAT's export in the format of Ultralytics: data.yaml with lists of files."""
    for name in ("train/1", "train/2", "val/3"):
        yolo_image(root, f"images/{name}.png")
    (root / "train.txt").write_text("images/train/1.png\n\nimages/train/2.png\n")
    (root / "val.txt").write_text("images/val/3.png\n")
    return described(root, path="./", train="train.txt", val=["val.txt"], names={0: "cat", 1: "dog"})


def plain(root):
    """labelImg: images/, labels/ and classes.txt, the splits in folders."""
    for name in ("train/1", "train/2", "val/3"):
        yolo_image(root, f"images/{name}.jpeg")
    (root / "labels" / "classes.txt").write_text("cat\ndog\n")
    return root


@pytest.mark.parametrize("layout", [cvat, listed, plain])
def test_each_layout_has_two_training_images_and_one_to_test(tmp_path, layout):
    source = opened(layout(tmp_path))
    assert (source.train.count, source.test.count) == (2, 1)
    assert len(source.train.labels) == 2
    assert source.classes == NAMES
    assert source.notes == ()


def test_of_three_folders_the_images_to_validate_are_trained_on_and_that_is_told(tmp_path):
    source = opened(roboflow(tmp_path))
    assert (source.train.count, source.test.count) == (3, 1)
    assert source.divided == "the set's test images"
    assert source.notes == ("training includes the set's validation images (1), because it has separate test images",)


def test_of_several_folders_called_images_the_innermost_has_labels_beside_it(tmp_path):
    yolo_image(tmp_path, "images/pets/images/a.png", labels="images/pets/labels/a.png")
    yolo_image(tmp_path, "images/pets/images/b.png", labels="images/pets/labels/b.png")
    described(tmp_path, train="images/pets/images")
    source = opened(tmp_path)
    assert source.train.count == source.test.count == 1
    assert len(source.train.labels) == len(source.test.labels) == 1


def test_without_images_for_training_those_to_validate_are_trained_on_and_a_lone_split_is_divided(tmp_path):
    two(tmp_path)
    yolo_image(tmp_path, "images/val/c.png")
    described(tmp_path, val="images/val", test="images/train")
    source = opened(tmp_path)
    assert (source.train.count, source.test.count, source.divided) == (2, 1, "the set's test images")
    assert source.notes == ()
    described(tmp_path, val="images/val")
    source = opened(tmp_path)
    assert (source.train.count, source.test.count) == (1, 1)
    assert source.notes == (
        "no test images: 1 of 2 images are held out for testing",
        "1 file of labels has no image and is skipped: labels/train/a.txt",
    )


def test_a_folder_named_for_val_and_for_test_is_for_test(tmp_path):
    two(tmp_path, test="images/val")
    source = opened(tmp_path)
    assert (source.train.ids, source.test.ids) == (("images/train/a.png",), ("images/val/b.png",))
    assert source.notes == ()
    assert source.divided == "the set's test images"


def test_without_labels_an_image_is_background_and_labels_without_an_image_are_told(tmp_path):
    two(tmp_path)
    yolo_image(tmp_path, "images/train/bare.png", None)
    yolo_image(tmp_path, "images/train/empty.png", ())
    (tmp_path / "labels" / "train" / "gone.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "images" / "train" / "torn.png").write_bytes(b"no image")
    source = opened(tmp_path)
    assert source.train.ids == ("images/train/a.png", "images/train/bare.png", "images/train/empty.png")
    assert source.notes == (
        "1 annotated image is missing or cannot be read and is skipped: images/train/torn.png",
        "1 file of labels has no image and is skipped: labels/train/gone.txt",
        "2 images have no object and are kept as background",
    )


def test_of_a_pose_the_box_is_taken_and_not_the_points(tmp_path):
    two(tmp_path, ["0 0.5 0.5 0.5 0.5 0.9 0.9 2 0.1 0.1 0"], kpt_shape=[2, 3])
    yolo_image(tmp_path, "images/val/b.png", ["0 0.5 0.5 0.5 0.5 0.9 0.9 2 0.1 0.1 1"])
    np.testing.assert_allclose(opened(tmp_path).train.boxes, [[10, 15, 30, 45]])


@pytest.mark.parametrize("value", [1, 3, 6, 8])
def test_shares_are_those_of_the_image_as_shown(tmp_path, value):
    two(tmp_path)
    path = written(tmp_path / "images" / "train" / "a.jpg", photo(value, "JPEG"))
    (tmp_path / "images" / "train" / "a.png").unlink()
    (height, width), (left, top, right, bottom) = object_of(path)
    line = (0, (left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height)
    (tmp_path / "labels" / "train" / "a.txt").write_text(" ".join(map(repr, line)))
    source = opened(tmp_path)
    boxes = source.train.boxes.round()
    np.testing.assert_allclose(boxes, source.train.boxes, atol=1e-4)
    from dataclasses import replace

    assert lies_on_the_object(replace(source.train, boxes=boxes), 0)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0.0 0.5 0.5 0.5 0.5", "class '0.0' should be a whole number, counted from 0"),
        ("cat 0.5 0.5 0.5 0.5", "class 'cat' should be a whole number"),
        ("-1 0.5 0.5 0.5 0.5", "class '-1' should be a whole number"),
        ("2 0.5 0.5 0.5 0.5", "class 2 has no name; there are 2, numbered from 0 to 1"),
        (f"{'9' * 5000} 0.5 0.5 0.5 0.5", "has no name; there are 2"),
        (
            "0 0.5 0.5 0.5",
            "has 4 numbers; a box has 5, a polygon a class, and an x and y for each of at least 3 points",
        ),
        ("0 0.5 0.5 0.5 0.5 0.9", "has 6 numbers; a box has 5"),
        ("0 0.1 0.1 0.5 0.5 0.9 0.9 0.1", "has 8 numbers; a box has 5"),
        ("0 320 240 100 100", "'320' should be a share of the image's side, a number from 0 to 1"),
        ("0 0.5 nan 0.5 0.5", "'nan' should be a share"),
        ("0 0.5 0.5 -0.5 0.5", "'-0.5' should be a share"),
        ("0 0,5 0.5 0.5 0.5", "'0,5' should be a share"),
        ("0 0.5 0.5 1e999 0.5", "'1e999' should be a share"),
    ],
)
def test_a_line_that_breaks_a_rule_is_named_with_it(tmp_path, line, words):
    two(tmp_path, ["0 0.5 0.5 0.5 0.5", "", line])
    message = refusal(tmp_path)
    assert f"{tmp_path / 'labels' / 'train' / 'a.txt'}, line 3: " in message
    assert words in message
    assert "\n" not in message
    assert len(message) < 500


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"train": "/etc"}, "line 4, train: '/etc' leads out of"),
        ({"train": "../../etc"}, "line 4, train: '../../etc' leads out of"),
        ({"train": "images\\train"}, "line 4, train: 'images\\\\train' has backslashes; write paths with /"),
        ({"train": "images/gone"}, "images/gone does not exist"),
        ({"train": 7}, "7 is not a path"),
        ({"train": "data.yaml"}, "is neither a folder of images nor a list of them"),
        ({"nc": 3}, "nc is 3, but there are 2 names"),
        ({"names": {0: "cat", 2: "dog"}}, "names should be numbered from 0 to 1, without a gap"),
        ({"names": ["cat", "cat"]}, "classes 0 and 1 are both called 'cat'"),
        ({"names": ["cat", True]}, "the name of class 1, True, is not text; put it in quotes"),
        ({"names": ["cat", "a\nb"]}, "the name of class 1, 'a\\nb', is not a valid class name"),
        ({"names": "cat"}, "names should be a list of classes"),
        ({"kpt_shape": [17]}, "kpt_shape [17] should be two whole numbers"),
        ({"kpt_shape": [17, 3]}, "has 5 numbers; with this kpt_shape a pose has 56"),
    ],
)
def test_a_description_that_breaks_a_rule_is_refused(tmp_path, fields, words):
    two(tmp_path)
    described(tmp_path, **{"train": "images/train", "val": "images/val", **fields})
    assert words in refusal(tmp_path)


def test_yaml_runs_nothing(tmp_path):
    two(tmp_path)
    (tmp_path / "data.yaml").write_text("names: !!python/object/apply:os.system ['touch made']\ntrain: images/train\n")
    assert "only plain values are" in refusal(tmp_path)
    assert not (tmp_path / "made").exists()


def test_a_path_of_another_machine_is_not_used_and_that_is_told(tmp_path):
    two(tmp_path, path="/content/datasets/pets")
    assert opened(tmp_path).notes == (
        "path: '/content/datasets/pets' in data.yaml is not in the folder and is not used",
    )


def test_an_image_twice_is_told_in_a_list_and_refused_where_two_share_their_labels(tmp_path):
    root = cvat(tmp_path)
    (root / "train.txt").write_text("obj_train_data/1.PNG\n" * 2)
    assert "1 image is listed twice and used once: obj_train_data/1.PNG" in opened(root).notes
    picture(root / "obj_train_data" / "1.jpg")
    (root / "train.txt").write_text("obj_train_data/1.PNG\nobj_train_data/1.jpg\n")
    assert "has the labels of 1.PNG and of 1.jpg; keep one of the two" in refusal(root)
    (root / "train.txt").write_text("obj_train_data/1.PNG\n../../secret.png\n")
    assert "train.txt, line 2: '../../secret.png' leads out of" in refusal(root)


def test_links_that_lead_out_are_skipped_and_told(tmp_path):
    root = two(tmp_path / "set")
    outside = tmp_path / "outside.png"
    picture(outside)
    (root / "images" / "train" / "link.png").symlink_to(outside)
    source = opened(root)
    assert source.train.ids == ("images/train/a.png",)
    assert any("link that points outside the folder" in note for note in source.notes)


def test_folders_of_another_kind_are_refused_by_what_they_lack(tmp_path):
    assert "folder not found" in refusal(tmp_path / "absent")
    assert "it has no data.yaml with names, no classes.txt and no obj.names" in refusal(tmp_path)
    described(tmp_path)
    assert "names no images: train, val or test should be" in refusal(tmp_path)
    picture(tmp_path / "images" / "a.png")
    described(tmp_path, train="images")
    assert "has no file of labels for any of its 1 images" in refusal(tmp_path)


def test_a_large_set_of_labels_is_bounded(tmp_path):
    two(tmp_path)
    with open(tmp_path / "labels" / "train" / "a.txt", "r+b") as file:
        file.truncate(10_000_001)  # a sparse file
    assert "larger than 10,000,000 bytes" in refusal(tmp_path, 1)


def test_the_images_are_read_as_they_are(tmp_path):
    two(tmp_path)
    source = opened(tmp_path)
    assert source.train.read(tf.constant(0, tf.int64)) == (tmp_path / "images" / "train" / "a.png").read_bytes()
