"""`reskeras data convert`: what is written equals what was read to half the last digit, by independent readers."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
import yaml

from reskeras.errors import ReskerasError
from reskeras.tasks.detection.annotations import convert as converting
from reskeras.tasks.detection.annotations.convert import convert_data
from reskeras.tasks.detection.opening import open_objects, read_objects
from tests.tasks.detection.folders import (
    SIZE,
    coco_image,
    coco_json,
    coco_object,
    picture,
    voc_image,
    voc_lists,
    voc_object,
)
from tests.tasks.detection.photos import object_of, photo, written
from tests.tasks.detection.test_recognised import FOLDERS
from tests.tasks.detection.test_tfds import examples, stored

NAMES = {1: "cat", 3: "a dog & <cat>", 4: "no"}


def drawn(root, seed=5, splits=("train", "val", "test")):
    """A COCO folder with boxes of many digits in images of several sizes."""
    random = np.random.default_rng(seed)
    for split in splits:
        images, objects = [], []
        for number in range(4):
            size = (int(random.integers(30, 90)), int(random.integers(30, 90)))
            name = f"{split}-{number}{'.JPG' if number % 2 else '.png'}"
            picture(root / split / name, size, seed=number)
            images.append(coco_image(number, name, size))
            for _ in range(number):
                corner, side = random.uniform(0, 20, 2), random.uniform(2, 9, 2)
                category = int(random.choice(list(NAMES)))
                objects.append(coco_object(number, category, [*corner.tolist(), *side.tolist()]))
        coco_json(root / "annotations" / f"instances_{split}.json", images, objects, NAMES)
    return root


def true_boxes(root):
    """What was drawn: the corners (left, top, right, bottom) and classes by file name, and the size."""
    found, sizes = {}, {}
    for file in (root / "annotations").glob("*.json"):
        data = json.loads(file.read_text())
        names = {each["id"]: each["file_name"] for each in data["images"]}
        sizes |= {each["file_name"]: (each["height"], each["width"]) for each in data["images"]}
        found |= {name: [] for name in names.values()}
        for each in data["annotations"]:
            x, y, width, height = each["bbox"]
            found[names[each["image_id"]]].append((NAMES[each["category_id"]], x, y, x + width, y + height))
    return found, sizes


def close(found, expected, tolerance):
    assert len(found) == len(expected)
    assert [each[0] for each in found] == [each[0] for each in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one[1:], other[1:], rtol=0, atol=tolerance)


def test_voc_is_equal_by_hand(tmp_path):
    expected, sizes = true_boxes(drawn(tmp_path / "a"))
    found = convert_data(f"coco:{tmp_path / 'a'}", f"voc:{tmp_path / 'b'}")
    assert found.images == {"train": 4, "val": 4, "test": 4}
    assert (found.objects, found.classes, found.notes) == (18, tuple(NAMES.values()), ())
    seen = {}
    for file in (tmp_path / "b" / "Annotations").glob("*.xml"):
        root = ElementTree.parse(file).getroot()
        assert (int(root.findtext("size/height")), int(root.findtext("size/width"))) == sizes[root.findtext("filename")]
        seen[root.findtext("filename")] = [
            (
                each.findtext("name"),
                *(float(each.findtext(f"bndbox/{side}min")) - 1 for side in "xy"),  # inclusive, counted from 1
                *(float(each.findtext(f"bndbox/{side}max")) for side in "xy"),
            )
            for each in root.iter("object")
        ]
    assert seen.keys() == expected.keys()
    for name, boxes in expected.items():
        close(seen[name], boxes, 0.005 + 1e-9)
        [image] = (tmp_path / "a").rglob(name)
        assert (tmp_path / "b" / "JPEGImages" / name).read_bytes() == image.read_bytes()
    lists = {file.stem: file.read_text().split() for file in (tmp_path / "b" / "ImageSets" / "Main").iterdir()}
    assert lists == {split: [f"{split}-{number}" for number in range(4)] for split in ("train", "val", "test")}


def test_coco_is_equal_by_pycocotools(tmp_path):
    from pycocotools.coco import COCO

    expected, sizes = true_boxes(drawn(tmp_path / "a"))
    convert_data(f"coco:{tmp_path / 'a'}", f"coco:{tmp_path / 'b'}")
    for split in ("train", "val", "test"):
        theirs = COCO(str(tmp_path / "b" / "annotations" / f"instances_{split}.json"))
        assert [each["name"] for each in theirs.loadCats(theirs.getCatIds())] == list(NAMES.values())
        for number, image in theirs.imgs.items():
            boxes = theirs.loadAnns(theirs.getAnnIds(imgIds=number))
            assert sizes[image["file_name"]] == (image["height"], image["width"])
            assert (tmp_path / "b" / split / image["file_name"]).is_file()
            corner_and_side = [
                (name, left, top, right - left, bottom - top)
                for name, left, top, right, bottom in expected[image["file_name"]]
            ]
            found = [(theirs.cats[each["category_id"]]["name"], *each["bbox"]) for each in boxes]
            close(found, corner_and_side, 0.005 + 1e-9)
            assert all(each["area"] == pytest.approx(each["bbox"][2] * each["bbox"][3]) for each in boxes)
            assert not any(each["iscrowd"] for each in boxes)


def test_yolo_is_equal_by_hand(tmp_path):
    expected, sizes = true_boxes(drawn(tmp_path / "a"))
    convert_data(f"coco:{tmp_path / 'a'}", f"yolo:{tmp_path / 'b'}")
    said = yaml.safe_load((tmp_path / "b" / "data.yaml").read_text())
    assert said == {
        "train": "images/train",
        "val": "images/val",
        "test": "images/test",
        "nc": 3,
        "names": list(NAMES.values()),
    }
    for name, boxes in expected.items():
        [image] = (tmp_path / "b" / "images").rglob(name)
        file = tmp_path / "b" / "labels" / image.parent.name / f"{image.stem}.txt"
        height, width = sizes[name]
        centres = [
            (
                each,
                (left + right) / 2 / width,
                (top + bottom) / 2 / height,
                (right - left) / width,
                (bottom - top) / height,
            )
            for each, left, top, right, bottom in boxes
        ]
        rows = [line.split() for line in file.read_text().splitlines()]
        close([(said["names"][int(row[0])], *map(float, row[1:])) for row in rows], centres, 5e-7 + 1e-12)
        assert all(len(number.partition(".")[2]) == 6 for row in rows for number in row[1:])


@pytest.mark.peers
def test_supervision_reads_what_was_written(tmp_path):
    import supervision

    expected, _ = true_boxes(drawn(tmp_path / "a"))
    for kind in ("yolo", "coco", "voc"):
        convert_data(f"coco:{tmp_path / 'a'}", f"{kind}:{tmp_path / kind}")
    yolo, coco, voc = tmp_path / "yolo", tmp_path / "coco", tmp_path / "voc"
    sets = [
        supervision.DetectionDataset.from_yolo(
            str(yolo / "images" / "val"), str(yolo / "labels" / "val"), str(yolo / "data.yaml")
        ),
        supervision.DetectionDataset.from_coco(str(coco / "val"), str(coco / "annotations" / "instances_val.json")),
        supervision.DetectionDataset.from_pascal_voc(str(voc / "JPEGImages"), str(voc / "Annotations")),
    ]
    for each, most in zip(sets, (1e-3, 0.011, 0.011), strict=True):
        for path, _, found in each:
            boxes = expected[path.rpartition("/")[2]]
            close(
                [(each.classes[label], *box) for label, box in zip(found.class_id, found.xyxy, strict=True)],
                boxes,
                most,
            )


@pytest.mark.parametrize("target", ["voc", "coco", "yolo"])
@pytest.mark.parametrize("write", FOLDERS)
def test_every_format_becomes_every_other_with_the_same_images_boxes_and_splits(tmp_path, write, target):
    write(tmp_path / "a")
    found = convert_data(str(tmp_path / "a"), f"{target}:{tmp_path / 'b'}")
    one, other = open_objects(str(tmp_path / "a")), open_objects(found.name)
    crowds = target == "yolo" and one.train.ignored.any()
    for ours, theirs in ((one.train, other.train), (one.test, other.test)):
        if "no test images" in str(one.notes):
            break  # the division goes by the names of files
        assert ours.count == theirs.count
        if not crowds:
            order, again = (np.lexsort(split.boxes.round(1).T) for split in (ours, theirs))
            np.testing.assert_allclose(theirs.boxes[again], ours.boxes[order], atol=0.02)
            kept = [np.array(source.classes)[split.labels] for source, split in ((one, ours), (other, theirs))]
            assert kept[0][order].tolist() == kept[1][again].tolist()
    assert found.objects + int(crowds) == len(one.train.labels) + len(one.test.labels)
    assert sum(found.images.values()) == one.train.count + one.test.count


def test_what_a_format_cannot_say_is_counted_and_told(tmp_path):
    voc_image(tmp_path / "voc", "a", [voc_object(), voc_object("dog", difficult=1), voc_object("dog", (5, 5, 6, 6))])
    voc_image(tmp_path / "voc", "b", [voc_object("dog")])
    picture(tmp_path / "coco" / "train" / "a.png")
    objects = [
        coco_object(1),
        coco_object(1, iscrowd=1),
        coco_object(1, box=(5, 5, 0.9, 9)),
        coco_object(1, box=(5, 5, 9, 1e-3)),
    ]
    coco_json(tmp_path / "coco" / "annotations" / "instances_train.json", [coco_image(1, "a.png")], objects)

    def told(source, kind):
        found = convert_data(f"{source}:{tmp_path / source}", f"{kind}:{tmp_path / f'{source}-{kind}'}")
        again = read_objects(found.name)
        ignored = [each.ignored.tolist() for each in (*again.train, *again.test)]
        return found.notes, found.objects, ignored

    assert told("voc", "coco") == (
        ("1 difficult object is written as a crowd, which is ignored as well: COCO has no difficult objects",),
        4,
        [[False, True, False], [False]],
    )
    assert told("voc", "yolo") == (
        ("1 object to ignore, difficult or a crowd, is left out: YOLO has no mark for it",),
        3,
        [[False, False], [False]],
    )
    assert told("voc", "voc") == ((), 4, [[False, True, False], [False]])
    assert told("coco", "voc") == (
        (
            "1 crowd is written as a difficult object, which is ignored as well: VOC has no crowds",
            "2 boxes of at most one pixel are left out: VOC's corners are whole pixels, which would coincide",
        ),
        2,
        [[False, True]],
    )
    assert told("coco", "coco") == (
        ("1 box is left out, too thin for the digits of the format",),
        3,
        [[False, True, False]],
    )


@pytest.mark.parametrize("value", [1, 3, 6, 8])
@pytest.mark.parametrize("target", ["voc", "coco", "yolo"])
def test_turned_photographs_keep_their_bytes_and_their_boxes(tmp_path, value, target):
    path = written(tmp_path / "a" / "train" / "1.jpg", photo(value, "JPEG"))
    size, (left, top, right, bottom) = object_of(path)
    coco_json(
        tmp_path / "a" / "annotations" / "instances_train.json",
        [coco_image(1, "1.jpg", size)],
        [coco_object(1, box=(left, top, right - left, bottom - top))],
    )
    convert_data(str(tmp_path / "a"), f"{target}:{tmp_path / 'b'}")
    [image] = (tmp_path / "b").rglob("1.jpg")
    assert image.read_bytes() == path.read_bytes()
    [found] = read_objects(f"{target}:{tmp_path / 'b'}").train
    np.testing.assert_allclose(found.boxes, [[top, left, bottom, right]], atol=0.011)


def test_files_of_one_name_and_images_without_a_file_get_names_of_their_own(tmp_path):
    for split in ("train", "val"):
        picture(tmp_path / "a" / split / "x.png", seed=len(split))
        coco_json(
            tmp_path / "a" / "annotations" / f"instances_{split}.json", [coco_image(1, "x.png")], [coco_object(1)]
        )
    convert_data(f"coco:{tmp_path / 'a'}", f"voc:{tmp_path / 'b'}")
    names = sorted(file.name for file in (tmp_path / "b" / "JPEGImages").iterdir())
    assert names == ["x-2.png", "x.png"]
    assert (tmp_path / "b" / "ImageSets" / "Main" / "val.txt").read_text() == "x-2\n"


def test_an_image_for_training_and_for_test_is_written_for_test_alone(tmp_path):
    for name in ("x", "y"):
        picture(tmp_path / "a" / "images" / f"{name}.png", seed=ord(name))
    images = [coco_image(1, "x.png"), coco_image(2, "y.png")]
    for split, found in (("train", images), ("val", images[:1])):
        file = tmp_path / "a" / "annotations" / f"instances_{split}.json"
        coco_json(file, found, [coco_object(each["id"]) for each in found])
    found = convert_data(f"coco:{tmp_path / 'a'}", f"voc:{tmp_path / 'b'}")
    assert found.images == {"train": 1, "val": 1}
    assert found.notes == ("1 training image is also a test image and is removed from training: x.png",)


def test_drawn_digits_become_files(tmp_path, monkeypatch):
    from reskeras.tasks.detection import digits_boxes

    monkeypatch.setattr(digits_boxes, "SCENES", replace(digits_boxes.SCENES, counts={"train": 3, "test": 2}))
    digits_boxes._scenes.cache_clear()
    try:
        found = convert_data("digits-boxes", f"yolo:{tmp_path / 'b'}")
    finally:
        digits_boxes._scenes.cache_clear()
    assert found.images == {"train": 3, "val": 2}  # as YOLO's trainers ask for
    assert found.classes == tuple("0123456789")
    assert (tmp_path / "b" / "images" / "val" / "test-0001.png").is_file()
    assert open_objects(found.name).mirror  # what the drawn ones forbid
    assert found.notes == (
        "these images must not be mirrored, but a YOLO folder has no field for that: to train on it, set "
        "augment.flip to false in the recipe",
    )


def test_records_become_files_of_their_format(tmp_path):
    stored(tmp_path / "sets", "zoo", {"train": examples(range(4)), "validation": examples([4]), "test": examples([7])})
    found = convert_data("tfds:zoo", f"coco:{tmp_path / 'b'}", data_dir=tmp_path / "sets")
    assert found.images == {"train": 4, "val": 1, "test": 1}
    source, again = open_objects("tfds:zoo", tmp_path / "sets"), open_objects(found.name)
    np.testing.assert_allclose(again.train.boxes, source.train.boxes, atol=0.011)
    np.testing.assert_array_equal(again.train.ignored, source.train.ignored)
    assert again.classes == source.classes
    files = sorted((tmp_path / "b").rglob("*.png"))
    assert [file.name for file in files] == ["000007.png", *(f"00000{index}.png" for index in range(4)), "000004.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def failing(*_):
    raise OSError(28, "No space left on device")


def test_nothing_is_left_of_what_fails(tmp_path, monkeypatch):
    root = drawn(tmp_path / "a")
    with pytest.raises(ReskerasError, match="target: 'tfrecord:x' is not one of voc:DIR, coco:DIR, yolo:DIR"):
        convert_data(f"coco:{root}", "tfrecord:x")
    with pytest.raises(ReskerasError, match="exists; remove it"):
        convert_data(f"coco:{root}", f"voc:{root}")
    with pytest.raises(ReskerasError, match="is part of a set; convert coco:"):
        convert_data(f"coco:{root}@2", f"voc:{tmp_path / 'b'}")
    monkeypatch.setattr(converting, "_alike", lambda *_: False)
    with pytest.raises(ReskerasError, match=r"would not be read as it was written, from image train-0\.png on"):
        convert_data(f"coco:{root}", f"voc:{tmp_path / 'b'}")
    monkeypatch.setattr(converting, "write_bytes", failing)
    with pytest.raises(ReskerasError, match="cannot be written: there is no space left"):
        convert_data(f"coco:{root}", f"voc:{tmp_path / 'b'}")
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_an_image_that_has_changed_is_named_and_nothing_is_left(tmp_path, monkeypatch):
    root = drawn(tmp_path / "a")
    whole = read_objects

    def read(*given):
        found = whole(*given)
        (root / "train" / "train-1.JPG").write_bytes(b"other")
        return found

    monkeypatch.setattr(converting, "read_objects", read)
    with pytest.raises(ReskerasError, match=r"train-1\.JPG"):
        convert_data(f"coco:{root}", f"voc:{tmp_path / 'b'}")
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_lists_of_voc_stay(tmp_path):
    for stem in "abcd":
        voc_image(tmp_path / "a", stem, size=SIZE)
    voc_lists(tmp_path / "a", train=["a", "b"], val=["c"], trainval=["a", "b", "c"], test=["d"])
    found = convert_data(f"voc:{tmp_path / 'a'}", f"yolo:{tmp_path / 'b'}")
    assert found.images == {"train": 2, "val": 1, "test": 1}
    assert (tmp_path / "b" / "images" / "val" / "c.png").is_file()
