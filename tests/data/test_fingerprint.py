"""What differs between data and itself later is told in words and in true numbers."""

import os
import shutil

import numpy as np
import pytest

from reskeras.data.fingerprint import Fingerprint, entries, fingerprint
from reskeras.data.registry import open_source
from tests.data.test_folder import picture, two_classes


@pytest.fixture
def folder(tmp_path):
    two_classes(tmp_path / "photos" / "train", 8)
    two_classes(tmp_path / "photos" / "test", 4)
    return tmp_path / "photos"


def now(folder):
    return fingerprint(open_source(f"folder:{folder}"))


def test_the_same_data_elsewhere_has_the_same_fingerprint(folder, tmp_path):
    before = now(folder)
    shutil.copytree(folder, tmp_path / "copy")
    os.utime(folder / "train" / "cat" / "0.png", ns=(1, 1))
    assert now(tmp_path / "copy").facts == before.facts
    assert before.differences(now(folder)) == []


def gone(folder):
    for index in range(3):
        (folder / "train" / "dog" / f"{index}.png").unlink()


def new(folder):
    picture(folder / "test" / "cat" / "new.png")


def swapped(folder):
    (folder / "train" / "cat").rename(folder / "aside")
    (folder / "train" / "dog").rename(folder / "train" / "cat")
    (folder / "aside").rename(folder / "train" / "dog")


def edited(folder):
    picture(folder / "train" / "cat" / "0.png")


def renamed(folder):
    (folder / "train" / "cat" / "0.png").rename(folder / "train" / "cat" / "zero.png")


def moved(folder):
    (folder / "train" / "cat" / "7.png").rename(folder / "test" / "cat" / "7.png")


def gone_and_new(folder):
    gone(folder)
    new(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (gone, ["3 images are gone"]),
        (new, ["1 image is new"]),
        (swapped, ["the labels of 16 images changed"]),
        (edited, ["the content of 1 image changed"]),
        (renamed, ["1 image was renamed"]),
        (moved, ["1 image moved to another split"]),
        (gone_and_new, ["3 images are gone", "1 image is new"]),
    ],
)
def test_changes_are_counted(folder, tmp_path, change, told):
    before = now(folder)
    before.save(tmp_path / "data.npz")
    change(folder)
    kept = Fingerprint.load(before.facts, tmp_path / "data.npz")
    assert kept.differences(now(folder)) == told
    assert kept.differences(before) == []


@pytest.mark.parametrize("spoil", [b"", b"PK\x03\x04", None])
def test_without_its_entries_the_difference_is_still_told(folder, tmp_path, spoil):
    before = now(folder)
    if spoil is not None:
        (tmp_path / "data.npz").write_bytes(spoil)
    gone(folder)
    told = Fingerprint.load(before.facts, tmp_path / "data.npz").differences(now(folder))
    assert "train 13 instead of 16" in told


def test_entries_that_are_not_the_kept_ones_are_not_believed(folder, tmp_path):
    before = now(folder)
    Fingerprint({}, {"train": entries(["a"], [1], [0])}).save(tmp_path / "data.npz")
    assert Fingerprint.load(before.facts, tmp_path / "data.npz").entries == {}


def test_digits_are_always_the_same():
    assert fingerprint(open_source("digits")).facts == fingerprint(open_source("digits")).facts
    assert fingerprint(open_source("digits@100")).facts != fingerprint(open_source("digits")).facts


def test_parts_and_orders_have_entries_of_their_own(folder):
    source = open_source(f"folder:{folder}")
    part = source.train.part("train", np.array([3, 1]))
    np.testing.assert_array_equal(part.entries, source.train.entries[[3, 1]])
    assert part.names() == [source.train.names()[3], source.train.names()[1]]
