"""TFDS sets by index: equal to what TFDS itself reads; what is not there is told at once."""

import time

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from reskeras.data.registry import open_source
from reskeras.errors import ReskerasError


class TinyShapes(tfds.core.GeneratorBasedBuilder):
    """Twelve images for training and five for test, of sizes of their own, in three classes."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["disc", "ring", "star"]),
            "id": tf.int64,
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(12), "test": self._generate_examples(5)}

    def _generate_examples(self, count):
        rng = np.random.default_rng(count)
        for index in range(count):
            image = rng.integers(0, 255, (4 + index, 6, 3)).astype(np.uint8)
            yield index, {"image": image, "label": index % 3, "id": index}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    TinyShapes(data_dir=folder).download_and_prepare()
    return folder


def test_records_by_index_are_those_that_tfds_reads(prepared):
    source = open_source("tfds:tiny_shapes", prepared)
    for split in (source.train, source.test):
        name = split.name
        expected = TinyShapes(data_dir=prepared).as_dataset(split=name, shuffle_files=False, as_supervised=True)
        pairs = list(expected.as_numpy_iterator())
        assert split.count == len(pairs)
        for index in [*range(split.count)][::-1]:
            image, label = split.example(tf.constant(index, tf.int64))
            np.testing.assert_array_equal(image, pairs[index][0])
            assert int(label) == pairs[index][1]
    assert source.classes == ("disc", "ring", "star")
    assert source.channels == 3


def stored(folder, name, splits, classes=2, dtype=np.uint8, label=True):
    """A prepared set that no code in this process describes: {split: the label of all its images, None for 0 1 0 1}."""
    features = {"image": tfds.features.Image(shape=(6, 5, 1), dtype=dtype, encoding_format="png")}
    features |= {"label": tfds.features.ClassLabel(num_classes=classes)} if label else {}
    rng = np.random.default_rng(0)

    def examples(only):
        labels = [index % 2 if only is None else only for index in range(10)]
        images = rng.integers(0, np.iinfo(dtype).max, (10, 6, 5, 1)).astype(dtype)
        held = {"image": images, "label": np.array(labels, np.int64)}
        return tf.data.Dataset.from_tensor_slices({key: held[key] for key in features})

    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        data_dir=folder,
        split_datasets={split: examples(only) for split, only in splits.items()},
    )
    return folder


def all_images(split):
    return [split.example(tf.constant(index, tf.int64))[0].numpy().tobytes() for index in range(split.count)]


def test_a_prepared_folder_is_read_without_the_code_that_prepared_it(tmp_path):
    source = open_source("tfds:stray", stored(tmp_path, "stray", {"train": None, "validation": None}))
    assert (source.train.count, source.test.count, source.channels, source.classes) == (10, 10, 1, ("0", "1"))
    assert not set(all_images(source.train)) & set(all_images(source.test))


def test_without_a_test_split_a_fixed_tenth_of_training_is_kept_and_told(tmp_path):
    stored(tmp_path, "lone", {"train": None})
    source, again = (open_source("tfds:lone", tmp_path) for _ in range(2))
    assert (source.train.count, source.test.count) == (9, 1)
    assert "1 of its training images" in source.notes[0]
    assert len({*all_images(source.train), *all_images(source.test)}) == 10
    assert all_images(source.test) == all_images(again.test)


def test_a_test_split_whose_labels_are_withheld_gives_way_to_validation(tmp_path):
    # imagenet2012 is such a set: every label of its test split is -1
    stored(tmp_path, "withheld", {"train": None, "validation": 1, "test": -1})
    source = open_source("tfds:withheld", tmp_path)
    assert {int(source.test.example(tf.constant(index, tf.int64))[1]) for index in range(source.test.count)} == {1}
    assert source.notes == ("tfds:withheld has no labels in its test split, which is ignored",)


@pytest.mark.parametrize(("name", "mirror"), [("my_mnist", False), ("fashion_mnist_like", True), ("birds", True)])
def test_writing_is_not_mirrored(tmp_path, name, mirror):
    stored(tmp_path, name, {"train": None})
    assert open_source(f"tfds:{name}", tmp_path).mirror is mirror


def test_sets_that_are_no_labelled_8_bit_images_of_two_classes_are_refused_by_name(tmp_path):
    for name, words, more in (
        ("deep", "has uint16 images", {"dtype": np.uint16}),
        ("bare", "its features are image: Image", {"label": False}),
        ("alone", "has one class", {"classes": 1}),
    ):
        splits = {"train": 0} if name == "alone" else {"train": None}
        stored(tmp_path, name, splits, **more)
        with pytest.raises(ReskerasError, match=f"tfds:{name} .*{words}") as caught:
            open_source(f"tfds:{name}", tmp_path)
        assert caught.value.status == 2


@pytest.mark.parametrize("file", ["features.json", "dataset_info.json", "records"])
def test_broken_files_of_a_prepared_set_are_told_apart_from_a_wrong_name(tmp_path, file):
    stored(tmp_path, "broken", {"train": None, "test": None})
    folder = tmp_path / "broken" / "1.0.0"
    next(iter(folder.glob("*test.tfrecord*" if file == "records" else file))).write_text("{")
    with pytest.raises(ReskerasError, match="broken") as caught:
        open_source("tfds:broken", tmp_path)
    assert caught.value.status == 1


def test_a_version_that_there_is_none_of_is_refused(tmp_path):
    with pytest.raises(ReskerasError, match=r"mnist:9\.9\.9"):
        open_source("tfds:mnist:9.9.9", tmp_path)


def test_a_set_that_is_not_prepared_is_told_at_once_with_what_would_be_downloaded(tmp_path):
    began = time.perf_counter()
    with pytest.raises(ReskerasError, match=r"not prepared in .*tfds build mnist .*downloads 12 MB") as caught:
        open_source("tfds:mnist", tmp_path)
    assert time.perf_counter() - began < 5
    assert caught.value.status == 2


def test_an_unknown_set_and_a_missing_folder_are_named(tmp_path):
    with pytest.raises(ReskerasError, match="no_such_set"):
        open_source("tfds:no_such_set", tmp_path)
    with pytest.raises(ReskerasError, match="folder not found"):
        open_source("cifar10", tmp_path / "absent")


def test_a_truncated_record_file_is_named(prepared, tmp_path):
    import shutil

    spoiled = shutil.copytree(prepared, tmp_path / "spoiled")
    [file] = spoiled.rglob("*train.tfrecord*")
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(ReskerasError, match=r"tiny_shapes-train.*cut off") as caught:
        open_source("tfds:tiny_shapes", spoiled)
    assert caught.value.status == 1
