"""A survey counts what is really there, and its warnings are true."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from reskeras.data import survey as surveys
from reskeras.data.registry import open_source
from reskeras.data.survey import survey
from reskeras.errors import ReskerasError
from reskeras.recipes.recipe import recipe
from reskeras.report.sheet import contact_sheet
from tests.data.images import picture


def folder(root, counts, size=(20, 18), start=0):
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            picture(*size, seed=start + len(list(root.rglob("*.jpg")))).save(root / name / f"{start + index}.jpg")
    return root


def test_classes_are_counted_in_both_splits(tmp_path):
    folder(tmp_path / "train", {"cat": 12, "dog": 15})
    folder(tmp_path / "test", {"cat": 3, "dog": 4}, start=100)
    found = survey(open_source(f"folder:{tmp_path}"))
    assert found.classes == {"cat": (12, 3), "dog": (15, 4)}
    assert (found.train, found.test, found.divided, found.channels) == (27, 7, "the folder test", 3)
    assert (found.warnings, found.shared, found.compared) == ((), 0, (27, 7))


def test_digits_are_counted_without_files():
    from sklearn.datasets import load_digits

    found, target = survey(open_source("digits")), load_digits().target
    assert [sum(pair) for pair in found.classes.values()] == list(np.bincount(target))
    assert (found.sizes.median, found.sizes.different, found.mirror) == ((8, 8), 1, False)
    assert found.divided == "a fixed 20% of each class"


def test_sizes_are_those_of_the_files(tmp_path):
    for index, size in enumerate([(10, 20), (10, 20), (30, 40), (50, 60), (70, 80)] * 2):
        folder(tmp_path / "train", {"cat" if index % 2 else "dog": 1}, size, start=index)
    folder(tmp_path / "test", {"cat": 1, "dog": 1}, start=100)
    sizes = survey(open_source(f"folder:{tmp_path}")).sizes
    assert (sizes.smallest, sizes.median, sizes.largest) == ((20, 10), (40, 30), (80, 70))
    assert (sizes.measured, sizes.different) == (10, 4)


def test_a_test_image_that_is_a_training_image_is_found(tmp_path):
    folder(tmp_path / "train", {"cat": 11, "dog": 11})
    folder(tmp_path / "test", {"cat": 3, "dog": 3}, start=100)
    (tmp_path / "test" / "cat" / "copy.jpg").write_bytes((tmp_path / "train" / "dog" / "0.jpg").read_bytes())
    found = survey(open_source(f"folder:{tmp_path}"))
    assert found.shared == 1
    assert found.warnings == (
        "1 of 7 test images is also a training image, byte for byte: accuracy on them is meaningless",
    )


def test_unequal_and_small_classes_are_warned_of(tmp_path):
    folder(tmp_path / "train", {"cat": 40, "dog": 3, "owl": 20})
    folder(tmp_path / "test", {"cat": 2, "dog": 1}, start=100)
    unequal, few, untested = survey(open_source(f"folder:{tmp_path}")).warnings
    assert unequal.startswith("classes are very unbalanced: 40 training images of cat and 3 of dog")
    assert few == "fewer than 10 training images of 1 class: dog"
    assert untested == "no test image of owl"


def test_the_work_is_bounded_and_estimates_are_marked(monkeypatch):
    for bound in ("COUNTED", "MEASURED", "COMPARED"):
        monkeypatch.setattr(surveys, bound, 100)
    found = survey(open_source("digits"))
    assert (found.counted, found.compared, found.sizes.measured) == ((100, 100), (100, 100), 100)
    assert abs(sum(train for train, _ in found.classes.values()) - found.train) <= 10


@pytest.mark.parametrize("fields", [{}, {"random_resized_crop": {}, "mixup": 0.4, "cutmix": 1.0, "lighting": 0.1}])
def test_a_contact_sheet_is_drawn(tmp_path, fields):
    folder(tmp_path / "images", {"cat": 6, "a dog with quite a long name": 6}, (60, 45))
    source = open_source(f"folder:{tmp_path / 'images'}")
    contact_sheet(tmp_path / "sheet.png", source, recipe("quick", augment=fields), 32, 40)
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    assert pixels.shape[0] > 300 and pixels.shape[1] > 800
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000


def test_a_sheet_has_no_empty_lines_between_wide_images(tmp_path):
    source = open_source(f"folder:{folder(tmp_path / 'images', {'cat': 4, 'dog': 4}, (80, 20))}")
    contact_sheet(tmp_path / "sheet.png", source, recipe("quick"), 10, 40)
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("L"))[:, sheet.width // 3 :]
    empty = (pixels == 255).all(axis=1)
    runs = np.split(empty, np.flatnonzero(np.diff(empty)) + 1)
    images = [len(run) for run in runs if not run[0]][-2:]
    assert max(len(run) for run in runs[1:-1] if run[0]) < min(images)


def test_a_sheet_of_grey_images_refuses_lighting_as_training_would(tmp_path):
    with pytest.raises(ReskerasError, match=r"augment\.lighting"):
        contact_sheet(tmp_path / "sheet.png", open_source("digits"), recipe("quick", augment={"lighting": 0.1}), 8, 8)


def test_an_image_that_breaks_while_it_is_looked_at_is_told_in_a_line(tmp_path):
    source = open_source(f"folder:{folder(tmp_path, {'cat': 5, 'dog': 5})}")
    for file in tmp_path.rglob("*.jpg"):
        file.unlink()
    drawn = tmp_path / "sheet.png"
    for look in (lambda: survey(source), lambda: contact_sheet(drawn, source, recipe("quick"), 32, 32)):
        with pytest.raises(ReskerasError, match=r"\.jpg has disappeared") as caught:
            look()
        assert caught.value.status == 1


def test_labels_of_prepared_records_are_read_without_images(tmp_path):
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(num_classes=2),
        }
    )
    images = np.random.default_rng(0).integers(0, 255, (12, 9, 11, 3)).astype(np.uint8)
    held = tf.data.Dataset.from_tensor_slices({"image": images, "label": np.arange(12) % 3 // 2})
    tfds.dataset_builders.store_as_tfds_dataset(
        name="kept", version="1.0.0", features=features, data_dir=tmp_path, split_datasets={"train": held, "test": held}
    )
    source = open_source("tfds:kept", tmp_path)
    found = survey(source)
    assert found.classes == {"0": (8, 8), "1": (4, 4)}
    assert (found.sizes.median, found.shared, found.divided) == ((9, 11), 12, "the set's test split")
    for index in range(12):
        record = source.train.fetch(tf.constant([index], tf.int64))[0]
        data, label = source.train.encoded(record)
        image, same = source.train.decode(record)
        np.testing.assert_array_equal(tf.io.decode_jpeg(data, dct_method="INTEGER_ACCURATE"), image)
        assert int(label) == int(same)


def test_images_that_are_turned_by_their_exif_tags_are_counted(tmp_path):
    exif, rng = Image.Exif(), np.random.default_rng(0)
    for index in range(20):
        exif[0x0112] = 6 if index % 5 == 0 else 1
        file = tmp_path / "ab"[index % 2] / f"{index}.jpg"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (12, 30, 3), np.uint8)).save(file, exif=exif)
    found = survey(open_source(f"folder:{tmp_path}"))
    assert sum(found.turned) == 4
    assert "4 of 20 images are rotated by their EXIF tags, as in image viewers" in found.notes
    assert (found.sizes.different, found.sizes.median) == (2, (12, 30))
