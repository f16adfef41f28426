"""A folder of annotated images is of the format that it holds; mixed ones, archives and others are refused."""

import zipfile

import pytest
import yaml

from reskeras.data.registry import open_source
from reskeras.errors import ReskerasError
from reskeras.readers import OBJECTS, readers_of, recognised
from reskeras.tasks.detection.opening import annotates_objects, open_objects
from tests.data.kinds import images_of, write_folder
from tests.tasks.detection.folders import (
    coco_image,
    coco_json,
    coco_object,
    labelme_json,
    picture,
    voc_image,
    voc_xml,
    yolo_image,
)
from tests.tasks.detection.test_hugging_face import two as hugging_face
from tests.tasks.detection.test_open_images import two as open_images
from tests.tasks.detection.test_voc import voc_object


def voc(root):
    for stem in ("a", "b"):
        voc_image(root, stem)


def voc_of_roboflow(root):
    for place in ("train/a", "train/b", "valid/c", "test/d"):
        picture(root / f"{place}.jpg")
        (root / f"{place}.xml").write_text(voc_xml([voc_object()], f"{place[-1]}.jpg"))


def voc_of_kaggle(root):
    for stem in ("a", "b"):
        picture(root / "images" / f"{stem}.png")
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"{stem}.xml").write_text(voc_xml([voc_object()], f"{stem}.png"))


def coco(root):
    for index, split in enumerate(("train", "val")):
        picture(root / split / f"{index}.png")
        coco_json(root / "annotations" / f"instances_{split}.json", [coco_image(1, f"{index}.png")], [coco_object(1)])


def coco_of_roboflow(root):
    """Categories with one above all others, which no object has, as Roboflow writes them."""
    for split in ("train", "valid", "test"):
        picture(root / split / f"{split}_png.rf.0a.png")
        file = root / split / "_annotations.coco.json"
        coco_json(file, [coco_image(0, f"{split}_png.rf.0a.png")], [coco_object(0, 1)], {})
        text = file.read_text()
        categories = (
            '[{"id": 0, "name": "pets", "supercategory": "none"}, {"id": 1, "name": "cat", "supercategory": "pets"}]'
        )
        file.write_text(text.replace('"categories": []', f'"categories": {categories}'))


def coco_of_cvat(root):
    for split in ("Train", "Validation"):
        picture(root / "images" / split / f"{split}.png")
        file = root / "annotations" / f"instances_{split}.json"
        coco_json(file, [coco_image(1, f"{split}.png")], [coco_object(1)])


def lone_coco(root):
    for stem in ("a", "b"):
        picture(root / f"{stem}.png")
    images = [coco_image(number, f"{stem}.png") for number, stem in enumerate("ab")]
    coco_json(root / "result.json", images, [coco_object(0), coco_object(1)])


def yolo(root):
    for split in ("train", "val"):
        yolo_image(root, f"images/{split}/{split}.png")
    (root / "pets.yaml").write_text(yaml.safe_dump({"names": ["cat"], "train": "images/train", "val": "images/val"}))


def labelme(root):
    for stem in ("a", "b"):
        picture(root / f"{stem}.png")
        labelme_json(root / f"{stem}.json", [("cat", "rectangle", [[1, 2], [9, 8]])], f"{stem}.png")


FOLDERS = {
    voc: "voc",
    voc_of_roboflow: "voc",
    voc_of_kaggle: "voc",
    coco: "coco",
    coco_of_roboflow: "coco",
    coco_of_cvat: "coco",
    lone_coco: "coco",
    yolo: "yolo",
    labelme: "labelme",
    open_images: "openimages",
    hugging_face: "huggingface",
}


@pytest.mark.parametrize("write", FOLDERS)
def test_each_folder_is_of_one_format_and_opened_without_its_name(tmp_path, write):
    write(tmp_path)
    assert [reader.kind for reader in recognised(tmp_path, OBJECTS)] == [FOLDERS[write]]
    assert annotates_objects(str(tmp_path))
    source, named = open_objects(str(tmp_path)), open_objects(f"{FOLDERS[write]}:{tmp_path}")
    assert source.name == named.name == f"{FOLDERS[write]}:{tmp_path}"
    assert (source.train.ids, source.test.ids, source.classes) == (named.train.ids, named.test.ids, named.classes)
    assert len(source.train.labels) >= 1
    part = open_objects(f"{tmp_path}@1")
    assert (part.train.count, part.name) == (1, f"{source.name}@1")


def test_every_format_of_a_folder_is_recognised_by_some_test():
    assert {reader.kind for reader in readers_of(OBJECTS) if reader.of_path} == set(FOLDERS.values())


def test_roboflows_category_above_the_others_is_no_class(tmp_path):
    coco_of_roboflow(tmp_path)
    source = open_objects(str(tmp_path))
    assert source.classes == ("cat",)
    assert source.divided == "the file test/_annotations.coco.json"
    assert source.train.count == 2
    assert source.notes == ("training includes the set's validation images (1), because it has separate test images",)


def test_roboflows_voc_has_the_images_beside_the_xml(tmp_path):
    voc_of_roboflow(tmp_path)
    source = open_objects(str(tmp_path))
    assert (source.train.ids, source.test.ids) == (("train/a", "train/b", "valid/c"), ("test/d",))


def test_a_folder_of_two_formats_asks_for_the_one(tmp_path):
    voc(tmp_path)
    yolo(tmp_path)
    with pytest.raises(ReskerasError) as caught:
        open_objects(str(tmp_path))
    assert str(caught.value) == (
        f"data: {tmp_path} holds Pascal VOC and YOLO annotations; name one: voc:{tmp_path} or yolo:{tmp_path}"
    )
    assert open_objects(f"yolo:{tmp_path}").train.count == 1


@pytest.mark.parametrize("kind", ["", "yolo:", "voc:", "coco:", "labelme:", "openimages:", "huggingface:"])
def test_an_archive_is_to_be_unpacked(tmp_path, kind):
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("data.yaml", "names: [cat]")
    with pytest.raises(ReskerasError) as caught:
        open_objects(f"{kind}{archive}")
    assert str(caught.value) == f"data: {archive} is an archive; unpack it and give the folder"


def test_a_folder_called_as_a_source_is_not_that_source(tmp_path, monkeypatch):
    voc(tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    assert not annotates_objects("digits")
    assert annotates_objects("./digits")


def test_a_folder_of_classes_stays_one(tmp_path):
    write_folder(tmp_path, images_of(6), images_of(6, seed=1))
    assert not annotates_objects(str(tmp_path))
    with pytest.raises(ReskerasError, match="use folder:"):
        open_source(str(tmp_path))
    with pytest.raises(
        ReskerasError, match=r"is a folder without annotations that are recognised; .* Pascal VOC, COCO"
    ):
        open_objects(str(tmp_path))
    (tmp_path / "list.json").write_text("{}")
    with pytest.raises(ReskerasError, match=r"list\.json is a file; give the folder of a set"):
        open_objects(str(tmp_path / "list.json"))
