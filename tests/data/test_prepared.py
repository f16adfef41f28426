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
        features = {"image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(names=["disc", "ring", "star"]),
                    "id": tf.int64}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features),
                                              supervised_keys=("image", "label"))

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


def test_a_set_that_is_not_prepared_is_told_at_once_with_what_would_be_downloaded(tmp_path):
    began = time.perf_counter()
    with pytest.raises(ReskerasError, match=r"not prepared in .*tfds build mnist .*downloads 12 MB") as caught:
        open_source("tfds:mnist", tmp_path)
    assert time.perf_counter() - began < 5
    assert caught.value.status == 2


def test_an_unknown_set_and_a_missing_folder_are_named(tmp_path):
    with pytest.raises(ReskerasError, match="no_such_set"):
        open_source("tfds:no_such_set", tmp_path)
    with pytest.raises(ReskerasError, match="there is no folder"):
        open_source("cifar10", tmp_path / "absent")


def test_a_truncated_record_file_is_named(prepared, tmp_path):
    import shutil

    spoiled = shutil.copytree(prepared, tmp_path / "spoiled")
    [file] = spoiled.rglob("*train.tfrecord*")
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(ReskerasError, match=r"tiny_shapes-train.*cut off") as caught:
        open_source("tfds:tiny_shapes", spoiled)
    assert caught.value.status == 1
