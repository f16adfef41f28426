"""Prepared sets: the same images, labels and order in a few files, resized as others resize."""

import os

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import ExifTags, Image

import reskeras
from reskeras import files
from reskeras.data.prepare import prepare_data
from reskeras.data.registry import open_source
from reskeras.errors import ReskerasError
from tests.data.images import encoded, picture


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photographs of several sizes and formats in two classes, with a test split; one is rotated by its tag."""
    root = tmp_path_factory.mktemp("photos")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for split, count in (("train", 7), ("test", 3)):
        for label in ("cat", "dog"):
            (root / split / label).mkdir(parents=True)
            for index in range(count):
                image = picture(90 + 31 * index, 70 + 9 * index, index)
                form, options = (("PNG", {}), ("JPEG", {"quality": 90, "exif": exif}), ("JPEG", {"quality": 90}))[
                    index % 3
                ]
                (root / split / label / f"{index}.{form.lower()}").write_bytes(encoded(image, form, **options))
    return root


def read(split):
    """Pairs (image, label), in order."""
    return [(image.numpy(), int(label)) for image, label in map(split.example, tf.range(split.count, dtype=tf.int64))]


def test_labels_order_and_splits_stay_and_small_images_keep_their_pixels(photos, tmp_path):
    found = prepare_data(f"folder:{photos}", tmp_path / "sets", size=400, name="cats")
    before, after = open_source(f"folder:{photos}"), open_source("tfds:cats", tmp_path / "sets")
    assert after.classes == before.classes == ("cat", "dog")
    assert found.images == {"train": 14, "test": 6}
    for one, other in ((before.train, after.train), (before.test, after.test)):
        for (image, label), (same, equal) in zip(read(one), read(other), strict=True):
            assert label == equal
            np.testing.assert_array_equal(image, same)
    assert os.listdir(tmp_path / "sets") == ["cats"]
    assert found.bytes == sum(each.stat().st_size for each in found.folder.parent.rglob("*") if each.is_file())


@pytest.mark.parametrize(("name", "kept"), [("mine", False), ("my_digits", True)])
def test_a_set_that_may_be_mirrored_of_one_that_must_not_is_told(tmp_path, name, kept):
    source = reskeras.source((np.zeros((4, 8, 8), np.uint8), [0, 1, 0, 1]), mirror=False)
    found = prepare_data(source, tmp_path, name=name)
    assert open_source(f"tfds:{name}", tmp_path).mirror is not kept
    assert ["but the set has no field for that" in note for note in found.notes] == ([] if kept else [True])


def test_large_images_are_resized_as_pillow_does_and_turned_as_they_are_shown(photos, tmp_path):
    prepare_data(f"folder:{photos}", tmp_path, size=64, name="small", quality=100)
    paths = [
        photos / "train" / label / name
        for label in ("cat", "dog")
        for name in sorted(os.listdir(photos / "train" / label))
    ]
    for path, (found, _) in zip(paths, read(open_source("tfds:small", tmp_path).train), strict=True):
        image = Image.open(path)
        turned = (
            image.transpose(Image.Transpose.ROTATE_270) if image.getexif().get(ExifTags.Base.Orientation) else image
        )
        scale = 64 / min(turned.size)
        expected = turned.resize(tuple(round(side * scale) for side in turned.size), Image.Resampling.BILINEAR)
        assert found.shape == (*expected.size[::-1], 3)
        assert np.abs(found.astype(float) - np.asarray(expected)).mean() < 3


def test_tfds_itself_reads_the_set(photos, tmp_path):
    prepare_data(f"folder:{photos}", tmp_path, size=64, name="small")
    builder = tfds.builder("small", data_dir=tmp_path)
    labels = [
        builder.info.features["label"].int2str(each["label"]) for each in tfds.as_numpy(builder.as_dataset("train"))
    ]
    assert labels == ["cat"] * 7 + ["dog"] * 7
    assert builder.info.splits["test"].num_examples == 6


def test_arrays_become_pngs(tmp_path):
    prepare_data("digits", tmp_path, size=6)
    before, after = open_source("digits"), open_source("tfds:digits", tmp_path)
    assert (after.channels, after.mirror) == (1, False)
    image, label = after.train.example(tf.constant(5, tf.int64))
    whole, same = before.train.example(tf.constant(5, tf.int64))
    assert image.shape == (6, 6, 1) and label == same
    np.testing.assert_allclose(image, tf.image.resize(whole, (6, 6), antialias=True), atol=0.51)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"size": 0}, "size: 0: should be at least 1 pixel"),
        ({"quality": 101}, "quality: 101: should be from 1 to 100"),
        ({"name": "My set"}, "name: 'My set': should be lowercase letters, digits and underscores"),
        ({"name": "digits"}, "digits exists; remove it, or choose another --out or --name"),
    ],
)
def test_wrong_requests_are_refused_and_leave_nothing(tmp_path, arguments, said):
    (tmp_path / "digits").mkdir()
    with pytest.raises(ReskerasError, match=said):
        prepare_data("digits", tmp_path, **arguments)
    assert os.listdir(tmp_path) == ["digits"]


def test_an_image_that_has_gone_is_named_and_nothing_is_left(photos, tmp_path, monkeypatch):
    root = tmp_path / "photos"
    files.copy_folder(photos, root)

    def vanish(done, of):
        (root / "test" / "dog" / "2.jpeg").unlink(missing_ok=True)

    with pytest.raises(ReskerasError, match=r"2\.jpeg has disappeared since the data was opened") as told:
        prepare_data(f"folder:{root}", tmp_path / "sets", progress=vanish)
    assert told.value.status == 1
    assert not (tmp_path / "sets").exists()


def test_a_full_disk_is_told_in_a_line(photos, tmp_path, monkeypatch):
    def full(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "sets/train.tfrecord; No space left on device")

    monkeypatch.setattr(tf.io.TFRecordWriter, "write", full)
    with pytest.raises(ReskerasError, match="sets cannot be written: there is no space left") as told:
        prepare_data(f"folder:{photos}", tmp_path / "sets")
    assert told.value.status == 1 and len(str(told.value).splitlines()) == 1
    assert not (tmp_path / "sets").exists()
