"""Records by index equal what TensorFlow and TFDS read in order; an index is made once; no more than wanted is read."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from reskeras.data import records as module
from reskeras.data.batches import fitted
from reskeras.data.record_index import RecordIndex
from reskeras.data.records import TFRecords
from reskeras.data.registry import open_source
from reskeras.errors import ReskerasError
from tests.data.tfds_sets import prepared_set


def written(folder, counts, seed=0, largest=3000):
    """TFRecord files of `counts` records of random bytes, and all records in order."""
    rng, paths, everything = np.random.default_rng(seed), [], []
    for number, count in enumerate(counts):
        paths.append(folder / f"set-train.tfrecord-{number:05}-of-{len(counts):05}")
        own = [rng.bytes(int(size)) for size in rng.integers(0, largest, count)]
        with tf.io.TFRecordWriter(str(paths[-1])) as writer:
            for record in own:
                writer.write(record)
        everything += own
    return paths, everything


@pytest.fixture
def walks(monkeypatch):
    """The files whose headers are walked over."""
    found, walked = [], module._walked
    monkeypatch.setattr(module, "_walked", lambda path: found.append(path) or walked(path))
    return found


def test_records_are_those_that_tensorflow_reads(tmp_path, own_cache):
    paths, everything = written(tmp_path, [5, 0, 1, 40])
    read = [each.numpy() for each in tf.data.TFRecordDataset([str(path) for path in paths])]
    assert read == everything
    records = TFRecords(paths)
    assert len(records) == 46
    assert records.bytes == sum(map(len, everything))
    order = np.random.default_rng(1).permutation(46)
    assert records.read_all(order).tolist() == [everything[index] for index in order]
    assert [records.read(index) for index in range(46)] == everything
    assert [records.file_of(index) for index in (0, 4, 5, 6, 45)] == [paths[each] for each in (0, 0, 2, 3, 3)]


def test_an_index_is_made_once_and_again_when_a_file_changes(tmp_path, own_cache, walks):
    paths, everything = written(tmp_path, [3, 4])
    for _ in range(2):
        assert TFRecords(paths).read_all(np.arange(7)).tolist() == everything
    assert sorted(walks) == paths
    assert [file.parent.name for file in own_cache.rglob("*.npz")] == ["records"]
    _, other = written(tmp_path, [3, 4], seed=1)
    assert TFRecords(paths).read_all(np.arange(7)).tolist() == other
    os.utime(paths[0], ns=(1, 1))
    TFRecords(paths)
    assert len(walks) == 6


def test_a_cache_that_is_off_broken_or_of_other_files_is_not_used(tmp_path, own_cache, walks, monkeypatch):
    paths, everything = written(tmp_path, [3, 4])
    TFRecords(paths)
    [file] = own_cache.rglob("*.npz")
    sound = dict(np.load(file))
    for change in (
        {"version": 0},
        {"sizes": sound["sizes"][::-1].copy()[:-1]},
        {"sizes": sound["sizes"] + 1},
        {"counts": sound["counts"] + [1, -1]},
        {"counts": sound["counts"] - [10, -10]},
        {"stamps": sound["stamps"] + 1},
        {"sizes": np.array([{}], object)},
    ):
        np.savez(file, **{**sound, **change})
        walks.clear()
        assert TFRecords(paths).read_all(np.arange(7)).tolist() == everything, change
        assert sorted(walks) == paths, change
    for content in (b"", b"PK\x03\x04 and more", file.read_bytes()[:-30]):
        file.write_bytes(content)
        walks.clear()
        assert TFRecords(paths).read_all(np.arange(7)).tolist() == everything
        assert sorted(walks) == paths
    monkeypatch.setenv("RESKERAS_CACHE", "off")
    file.unlink()
    TFRecords(paths)
    assert not list(own_cache.rglob("*.npz"))


def test_an_index_that_cannot_be_kept_is_made_each_time(tmp_path, monkeypatch, walks):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    paths, everything = written(tmp_path, [3])
    for _ in range(2):
        assert TFRecords(paths).read_all(np.arange(3)).tolist() == everything
    assert len(walks) == 2


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:-1], "is cut off or broken after 4 records"),
        (lambda data: data + b"12345", "is cut off after 5 records"),
        (lambda data: b"\xff" * 12 + data, "is cut off or broken after 0 records"),
        (lambda data: (1 << 40).to_bytes(8, "little") + data[8:], "is cut off or broken after 0 records"),
    ],
)
def test_a_broken_file_is_named(tmp_path, own_cache, damage, words):
    [path], _ = written(tmp_path, [5])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ReskerasError, match=words) as caught:
        TFRecords([path])
    assert str(path) in str(caught.value)
    assert caught.value.status == 1
    assert RecordIndex.remembered([path]) is None


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts what the process reads")
def test_random_reads_read_only_what_is_wanted(tmp_path, own_cache):
    paths, everything = written(tmp_path, [300, 300], largest=20_000)
    for _ in range(2):  # the second is the first to read an index, and may import what that takes
        TFRecords(paths).read(0)

    def bytes_read():
        return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])

    before = bytes_read()
    records = TFRecords(paths)
    opening = bytes_read() - before
    chosen = np.random.default_rng(2).permutation(600)[:200]
    wanted = sum(len(everything[index]) for index in chosen)
    before = bytes_read()
    records.read_all(chosen)
    assert wanted <= bytes_read() - before <= 1.1 * wanted
    assert opening < 20_000  # the index, not the files


def test_more_files_than_may_be_open_are_read(tmp_path, own_cache, monkeypatch):
    monkeypatch.setattr(module, "MOST_OPEN", 2)
    paths, everything = written(tmp_path, [2] * 6)
    records = TFRecords(paths)
    open_before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(3):
        assert records.read_all(np.arange(12)).tolist() == everything
    assert len(records._open) == 2
    if open_before:
        assert len(os.listdir("/proc/self/fd")) <= open_before + 2
        del records
        assert len(os.listdir("/proc/self/fd")) <= open_before


@pytest.mark.parametrize("layout", ["tfrecord", "array_record"])
def test_a_set_of_either_layout_is_read_as_tfds_reads_it(tmp_path, own_cache, layout):
    prepared_set(tmp_path, "mine", {"train": [0, 1] * 10, "test": [1, 0, 1]}, layout=layout)
    source = open_source("tfds:mine", tmp_path)
    builder = tfds.builder("mine", data_dir=tmp_path)
    for split, name in ((source.train, "train"), (source.test, "test")):
        theirs = (
            list(builder.as_data_source(split=name))
            if layout == "array_record"
            else list(builder.as_dataset(split=name, shuffle_files=False).as_numpy_iterator())
        )
        assert split.count == len(theirs)
        for index in reversed(range(split.count)):
            image, label = split.example(tf.constant(index, tf.int64))
            np.testing.assert_array_equal(image, theirs[index]["image"])
            assert label == theirs[index]["label"]
    again = open_source("tfds:mine", tmp_path)
    assert again.facts == source.facts


def test_a_broken_array_record_is_named(tmp_path, own_cache):
    version = prepared_set(tmp_path, "mine", {"train": [0, 1] * 10, "test": [1, 0]}, layout="array_record")
    [file] = version.glob("*train*")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ReskerasError, match="broken record files") as caught:
        open_source("tfds:mine", tmp_path)
    assert caught.value.status == 1
    assert len(str(caught.value).splitlines()) == 1


def test_records_that_are_gone_or_cut_after_opening_are_named(tmp_path, own_cache, monkeypatch):
    version = prepared_set(tmp_path, "mine", {"train": [0, 1] * 10, "test": [1, 0]})
    [file] = version.glob("*train*")
    whole = file.read_bytes()
    monkeypatch.setattr(module, "MOST_OPEN", 0)  # what is open can be read though its name is gone
    for change, words in (
        (lambda: file.write_bytes(whole[:40]), f"data: {file} changed since the data was opened"),
        (file.unlink, f"data: {file} has disappeared since the data was opened"),
    ):
        file.write_bytes(whole)
        source = open_source("tfds:mine", tmp_path)
        change()
        with pytest.raises(ReskerasError) as caught:
            list(fitted(source.train, range(20), (6, 5, 3), 4))
        assert str(caught.value) == words
