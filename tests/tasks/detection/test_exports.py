"""What Roboflow and CVAT put into VOC's and COCO's formats, and masks and polygons that stand where boxes should."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from reskeras.errors import ReskerasError
from reskeras.tasks.detection.opening import open_objects
from tests.tasks.detection.folders import SIZE, by_id, coco_image, coco_json, coco_object, picture, voc_xml
from tests.tasks.detection.test_voc import voc_object

HEIGHT, WIDTH = SIZE
CVAT_SOURCE = "<source><database>Unknown</database><annotation>Unknown</annotation><image>Unknown</image></source>"


def cvat_voc(root):
    """CVAT's VOC: images in sub-folders, a list of the one subset, corners from 0."""
    for name in ("a", "deep/b"):
        picture(root / "JPEGImages" / f"{name}.PNG")
        file = root / "Annotations" / f"{name}.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        text = voc_xml([voc_object("cat", (0, 0, 10.25, 20.5)), voc_object("dog", (5.5, 6, 30, 39.99))], f"{name}.PNG")
        file.write_text(text.replace("<size>", f"{CVAT_SOURCE}<size>"))
    lists = root / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "default.txt").write_text("a\ndeep/b\n")
    (root / "labelmap.txt").write_text("# label:color_rgb:parts:actions\ncat:128,0,0::\n")


def test_corners_of_cvat_count_from_zero(tmp_path):
    cvat_voc(tmp_path)
    source = open_objects(f"voc:{tmp_path}")
    found = by_id(source.train, source.classes) | by_id(source.test, source.classes)
    for name in ("a", "deep/b"):
        root = ElementTree.parse(tmp_path / "Annotations" / f"{name}.xml").getroot()
        expected = [
            (
                each.findtext("name"),
                *(float(each.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")),
            )
            for each in root.iter("object")
        ]
        np.testing.assert_allclose([each[1:] for each in found[name]], [each[1:] for each in expected], rtol=1e-6)
        assert [each[0] for each in found[name]] == [each[0] for each in expected]


def test_corners_of_others_count_from_one(tmp_path):
    cvat_voc(tmp_path)
    for file in (tmp_path / "Annotations").rglob("*.xml"):
        file.write_text(file.read_text().replace("<annotation>Unknown</annotation>", ""))  # as labelImg writes it
    source = open_objects(f"voc:{tmp_path}")
    np.testing.assert_allclose(source.train.boxes[1], [5, 4.5, 39.99, 30])


def square(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def shaped(root, *segmentations, **more):
    """A COCO folder of one image for training, whose objects have these segmentations and no box, and one to test."""
    picture(root / "train" / "a.png")
    picture(root / "val" / "b.png")
    objects = []
    for number, segmentation in enumerate(segmentations):
        one = {**coco_object(1, 3, segmentation=segmentation), "id": number + 1, **more}
        objects.append({key: value for key, value in one.items() if key != "bbox"})
    file = coco_json(root / "annotations" / "instances_train.json", [coco_image(1, "a.png")], objects)
    coco_json(root / "annotations" / "instances_val.json", [coco_image(1, "b.png")], [coco_object(1, 3)])
    return file


def masks():
    """Masks of all kinds of places, uint8 (height, width)."""
    random = np.random.default_rng(4)
    found = []
    for index in range(40):
        mask = np.zeros(SIZE, np.uint8)
        top, left = random.integers(0, HEIGHT - 1), random.integers(0, WIDTH - 1)
        bottom, right = random.integers(top + 1, HEIGHT + 1), random.integers(left + 1, WIDTH + 1)
        mask[top:bottom, left:right] = random.random((bottom - top, right - left)) < (1 if index % 2 else 0.3)
        mask[top, left] = 1
        found.append(mask)
    found.append(np.ones(SIZE, np.uint8))
    return found


def test_the_boxes_of_masks_are_those_of_pycocotools(tmp_path):
    from pycocotools import mask as tools

    compressed = [tools.encode(np.asfortranarray(mask)) for mask in masks()]
    plain = []
    for mask in masks():
        flat = mask.T.reshape(-1)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]])))
        plain.append({"size": [*SIZE], "counts": np.diff(np.concatenate([[0], edges])).tolist()})
    text = [{"size": each["size"], "counts": each["counts"].decode()} for each in compressed]
    shaped(tmp_path, *text, *plain)
    source = open_objects(f"coco:{tmp_path}")
    left, top, width, height = tools.toBbox(compressed).T
    expected = np.stack([top, left, top + height, left + width], axis=1)
    np.testing.assert_array_equal(source.train.boxes, np.concatenate([expected, expected]))
    assert source.notes == (
        f"{2 * len(compressed)} objects have the boxes around their segmentations, having none of their own: a.png",
    )


def test_polygons_are_boxes_only_where_there_are_none(tmp_path):
    file = shaped(tmp_path, [square(1, 2, 9, 8), square(20.5, 30, 25, 35.5)])
    np.testing.assert_array_equal(open_objects(f"coco:{tmp_path}").train.boxes, [[2, 1, 35.5, 25]])
    data = json.loads(file.read_text())
    data["annotations"][0]["bbox"] = [3, 4, 5, 6]
    file.write_text(json.dumps(data))
    source = open_objects(f"coco:{tmp_path}")
    np.testing.assert_array_equal(source.train.boxes, [[4, 3, 10, 8]])
    assert source.notes == ()


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([[1, 2, 3, 4]], "a polygon of 2 points; it needs at least 3"),
        ([square(1, 2, 3, 4), [1, 2]], "a polygon of 1 points; it needs at least 3"),
        ([[1, 2, 3, 4, 5, 6, 7]], "is neither polygons nor a mask"),
        ([[1, 2, 3, 4, 5, "6"]], "is neither polygons nor a mask"),
        ("polygon", "is neither polygons nor a mask"),
        ([[1, 2, 3, 4, 5, 10**400]], "is neither polygons nor a mask"),
        ({"size": [40, 60], "counts": [1, 2]}, "the runs of the mask do not add up to its 40 x 60 pixels"),
        ({"size": [40, 60], "counts": [-1, 2401]}, "is not a run-length encoded mask"),
        ({"size": [40], "counts": [2400]}, "is not a run-length encoded mask"),
        ({"size": [10**9, 10**9], "counts": [1]}, "is not a run-length encoded mask"),
        ({"size": [40, 60], "counts": "~~~~"}, "is not COCO's compressed form"),
        ({"size": [40, 60], "counts": "o" * 100}, "is not COCO's compressed form"),
        ({"size": [40, 60]}, "is not a run-length encoded mask"),
    ],
)
def test_a_segmentation_that_is_none_is_named(tmp_path, segmentation, words):
    file = shaped(tmp_path, [square(1, 2, 9, 8)], segmentation)
    with pytest.raises(ReskerasError) as caught:
        open_objects(f"coco:{tmp_path}")
    assert caught.value.status == 2
    assert f"{file}, annotations[1]" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("annotations", "category_id", "3"), "annotations[1]: category_id '3' should be a whole number"),
        (("annotations", "category_id", 3.0), "annotations[1]: category_id 3.0 should be a whole number"),
        (("annotations", "image_id", 1.0), "annotations[1]: image_id 1.0 should be a whole number"),
        (("categories", "id", "3"), "categories[1]: id '3' should be a whole number"),
        (("categories", "id", 3.5), "categories[1]: id 3.5 should be a whole number"),
    ],
)
def test_ids_that_are_no_whole_numbers_are_named(tmp_path, change, words):
    file = shaped(tmp_path, [square(1, 2, 9, 8)], [square(1, 2, 9, 8)])
    name, key, value = change
    data = json.loads(file.read_text())
    data[name][1][key] = value
    file.write_text(json.dumps(data))
    with pytest.raises(ReskerasError) as caught:
        open_objects(f"coco:{tmp_path}")
    assert str(caught.value) == f"data: {file}, {words}"
    assert caught.value.status == 2


def test_backslashes_and_an_image_of_two_ids_are_refused(tmp_path):
    file = shaped(tmp_path, [square(1, 2, 9, 8)])
    coco_json(file, [coco_image(1, "a.png"), coco_image(2, "a.png")], [coco_object(1), coco_object(2)])
    with pytest.raises(ReskerasError, match=r"an image with two annotations, a\.png, twice, of ids 1 and 2"):
        open_objects(f"coco:{tmp_path}")
    coco_json(file, [coco_image(1, "train\\a.png")], [coco_object(1)])
    with pytest.raises(ReskerasError, match=r"file_name 'train\\\\a.png' has backslashes; write paths with /"):
        open_objects(f"coco:{tmp_path}")


def test_the_boxes_of_roboflows_coco_are_those_of_pycocotools(tmp_path):
    from pycocotools.coco import COCO

    random = np.random.default_rng(1)
    for split in ("train", "valid"):
        images, objects = [], []
        for number in range(3):
            picture(tmp_path / split / f"{number}.JPG", seed=number)
            images.append(coco_image(number, f"{number}.JPG"))
            for _ in range(number):
                box = [*random.uniform(0, 20, 2).round(2).tolist(), *random.uniform(1, 20, 2).round(2).tolist()]
                objects.append({**coco_object(number, int(random.choice([1, 3])), box), "id": len(objects) + 1})
        coco_json(tmp_path / split / "_annotations.coco.json", images, objects)
    source = open_objects(str(tmp_path))
    for split, name in ((source.train, "train"), (source.test, "valid")):
        theirs = COCO(str(tmp_path / name / "_annotations.coco.json"))
        names = {number: each["name"] for number, each in theirs.cats.items()}
        for number, found in by_id(split, source.classes).items():
            expected = theirs.loadAnns(theirs.getAnnIds(imgIds=number))
            assert [each[0] for each in found] == [names[each["category_id"]] for each in expected]
            corners = [(x, y, x + width, y + height) for x, y, width, height in (each["bbox"] for each in expected)]
            np.testing.assert_allclose([each[1:] for each in found], corners, rtol=1e-6)
    assert source.divided == "the file valid/_annotations.coco.json"
