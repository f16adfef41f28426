"""Photographs with an EXIF orientation among annotated images: boxes lie on their objects, whichever way these lie."""

import io

import pytest
import tensorflow_datasets as tfds

from reskeras.tasks.detection.opening import open_objects
from tests.tasks.detection.folders import coco_image, coco_json, coco_object, voc_image, voc_lists, voc_object, voc_xml
from tests.tasks.detection.photos import BOX, STORED, lies_on_the_object, object_of, photo, written

ALL = range(1, 9)
SUFFIXES = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


def voc(root, data, size, box, suffix="jpg"):
    """A folder of one photograph for training whose annotation says a size and a box (left, top, right, bottom)."""
    voc_image(root, "testing")
    written(root / "JPEGImages" / f"a.{suffix}", data)
    left, top, right, bottom = box
    (root / "Annotations" / "a.xml").write_text(
        voc_xml([voc_object(box=(left + 1, top + 1, right, bottom))], f"a.{suffix}", size)
    )
    voc_lists(root, train=["a"], test=["testing"])
    return open_objects(f"voc:{root}")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("value", ALL)
def test_boxes_drawn_on_the_image_as_shown_lie_on_their_objects(tmp_path, value, suffix):
    data = photo(value, SUFFIXES[suffix])
    source = voc(tmp_path, data, *object_of(written(tmp_path / "seen", data)), suffix)
    assert lies_on_the_object(source.train, 0)
    told = [note for note in source.notes if "EXIF" in note]
    assert told == (["1 image is rotated by its EXIF tag, as in image viewers: a.xml"] if value > 1 else [])
    assert not any("size" in note for note in source.notes)


@pytest.mark.parametrize("value", [5, 6, 7, 8])
def test_boxes_of_the_image_as_stored_are_turned_where_the_annotation_says_its_size(tmp_path, value):
    top, left, bottom, right = BOX
    source = voc(tmp_path, photo(value, "JPEG"), STORED, (left, top, right, bottom))
    assert lies_on_the_object(source.train, 0)
    note = "1 image has boxes for its stored orientation, by the size in its annotation; they are rotated too: a.xml"
    assert note in source.notes


@pytest.mark.parametrize(("value", "size"), [(3, STORED), (6, (60, 60))])
def test_where_sizes_do_not_tell_boxes_are_those_of_the_image_as_shown(tmp_path, value, size):
    data = photo(value, "JPEG", size)
    source = voc(tmp_path, data, *object_of(written(tmp_path / "seen", data)))
    assert lies_on_the_object(source.train, 0)


def test_an_image_of_neither_size_is_told_as_before(tmp_path):
    data = photo(6, "JPEG")
    _, box = object_of(written(tmp_path / "seen", data))
    source = voc(tmp_path, data, (7, 7), box)
    assert lies_on_the_object(source.train, 0)
    assert any("differs in size from its annotation" in note for note in source.notes)


@pytest.mark.parametrize("frame", ["shown", "stored"])
@pytest.mark.parametrize("value", ALL)
def test_boxes_of_coco_lie_on_their_objects(tmp_path, frame, value):
    path = written(tmp_path / "train2017" / "1.jpg", photo(value, "JPEG"))
    other = written(tmp_path / "train2017" / "2.jpg", photo(1, "JPEG"))
    size, (left, top, right, bottom) = object_of(path)
    if frame == "stored":
        if value < 5:
            pytest.skip("the sizes do not tell")
        size, (top, left, bottom, right) = STORED, BOX
    images = [coco_image(1, path.name, size), coco_image(2, other.name, STORED)]
    coco_json(
        tmp_path / "annotations" / "instances_train2017.json",
        images,
        [coco_object(1, box=(left, top, right - left, bottom - top)), coco_object(2)],
    )
    source = open_objects(f"coco:{tmp_path}")
    split = source.train if 1 in source.train.ids else source.test
    assert lies_on_the_object(split, split.ids.index(1))


class TurnedPhotos(tfds.core.GeneratorBasedBuilder):
    """A photograph of each orientation, its file kept as it is, boxes as fractions of the image as shown."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        kinds = tfds.features
        objects = {"bbox": kinds.BBoxFeature(), "label": kinds.ClassLabel(names=["white"])}
        return self.dataset_info_from_configs(
            features=kinds.FeaturesDict(
                {"image": kinds.Image(shape=(None, None, 3)), "objects": kinds.Sequence(objects)}
            )
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for value in ALL:
            data = photo(value, "JPEG")
            (height, width), (left, top, right, bottom) = object_of(io.BytesIO(data))
            box = tfds.features.BBox(top / height, left / width, bottom / height, right / width)
            yield value, {"image": io.BytesIO(data), "objects": [{"bbox": box, "label": 0}]}


def test_boxes_of_tfds_are_fractions_of_the_image_as_shown(tmp_path):
    TurnedPhotos(data_dir=tmp_path).download_and_prepare()
    source = open_objects("tfds:turned_photos", tmp_path)
    assert source.train.count + source.test.count == len(ALL)
    for split in (source.train, source.test):
        assert all(lies_on_the_object(split, index) for index in range(split.count))
    assert any(note.startswith("7 images are rotated by their EXIF tags") for note in source.notes)
