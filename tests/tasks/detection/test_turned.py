"""Photographs with an EXIF orientation among annotated images: boxes lie on their objects, whichever way these lie."""

import io

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image, ImageOps

from reskeras.tasks.detection.opening import open_objects
from tests.data.images import encoded
from tests.tasks.detection.folders import coco_image, coco_json, coco_object, voc_image, voc_lists, voc_object, voc_xml

ALL = range(1, 9)
SUFFIXES = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
STORED = 40, 60
BOX = 8, 5, 20, 31  # top, left, bottom, right in the image as stored


def photo(value, form, size=STORED, turned=True):
    """A black image with a white object at BOX and an EXIF orientation."""
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[BOX[0] : BOX[2], BOX[1] : BOX[3]] = 255
    exif = Image.Exif()
    if turned:
        exif[0x0112] = value
    return encoded(
        Image.fromarray(pixels),
        form,
        exif=exif.tobytes(),
        **({"lossless": True} if form == "WEBP" else {"quality": 98}),
    )


def object_of(path):
    """Size (height, width) and the object's box as viewers show them: (left, top, right, bottom)."""
    with Image.open(path) as image:
        shown = ImageOps.exif_transpose(image).convert("L").point(lambda value: 255 * (value > 127))
        return (shown.height, shown.width), shown.getbbox()


def written(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def lies_on_the_object(split, index):
    """Whether the white pixels of the image, and no others, are in its one box."""
    pixels = split.images().example(tf.constant(index, tf.int64))[0].numpy()
    [box], labels, _ = split.rows(index)
    top, left, bottom, right = box.astype(int)
    white = pixels.min(axis=-1) > 127
    assert tuple(split.sizes[index]) == pixels.shape[:2]
    return len(labels) == 1 and white[top:bottom, left:right].all() and white.sum() == (bottom - top) * (right - left)


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
