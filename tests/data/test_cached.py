"""`--cache`: images that are kept are those that were stored, and storage is read once."""

import os
import sqlite3
from dataclasses import replace

import numpy as np
import pytest

from reskeras.data import cached as room
from reskeras.data.cached import cached
from reskeras.data.pipeline import evaluation_batches
from reskeras.data.registry import open_source
from reskeras.errors import ReskerasError
from tests.data.images import batches, encoded, picture, raw, spec
from tests.mounts import fill, mounted


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    for split, count in (("train", 8), ("test", 3)):
        for label in ("cat", "dog"):
            (tmp_path / "photos" / split / label).mkdir(parents=True)
            for index in range(count):
                place = tmp_path / "photos" / split / label / f"{index}.jpg"
                place.write_bytes(encoded(picture(40 + index, 30, index), "JPEG"))
    return tmp_path / "photos"


def epoch(source, **fields):
    return batches(source.train, spec(**fields), raw(16), batch_size=4, epochs=2)


def equal(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        for part, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, same)


@pytest.mark.parametrize("place", ["ram", "folder"])
@pytest.mark.parametrize("fields", [{}, {"random_resized_crop": {}}])
def test_batches_are_the_same_and_files_are_read_once(photos, tmp_path, place, fields):
    plain = open_source(f"folder:{photos}")
    expected, told = epoch(plain, **fields), []
    kept = cached(plain, "ram" if place == "ram" else tmp_path / "kept", told.append)
    equal(epoch(kept, **fields), expected)
    for path in (photos / "train").rglob("*.jpg"):
        path.unlink()
    equal(epoch(kept, **fields), expected)  # nothing is asked of the storage any more
    part = kept.train.part("train", np.array([3, 1]))
    assert part.label(part.fetch(np.array([0, 1]))).numpy().tolist() == [0, 0]
    assert not told


def test_a_later_training_finds_what_an_earlier_one_kept_and_other_images_do_not(photos, tmp_path):
    plain = open_source(f"folder:{photos}")
    expected = epoch(plain)
    epoch(cached(plain, tmp_path / "kept", print))
    again = cached(plain, tmp_path / "kept", print)
    assert all(len(each) for each in again.train.fetch(np.arange(16)).numpy())
    (photos / "train" / "cat" / "0.jpg").unlink()
    equal(epoch(again), expected)
    fewer = cached(open_source(f"folder:{photos}"), tmp_path / "kept", print)
    assert {len(each) for each in fewer.train.fetch(np.arange(15)).numpy()} == {room.INDEX}
    assert len([name for name in os.listdir(tmp_path / "kept") if name.endswith(".sqlite")]) == 2


def test_records_are_kept_too(tmp_path, photos):
    from reskeras.data.prepare import prepare_data

    prepare_data(f"folder:{photos}", tmp_path / "sets", name="small")
    plain = open_source("tfds:small", tmp_path / "sets")
    kept = cached(plain, "ram", print)
    for _ in range(2):
        equal(epoch(kept), epoch(plain))
    ours, theirs = (
        [[part.numpy() for part in batch] for batch in evaluation_batches(each.train, raw(16), 5)]
        for each in (kept, plain)
    )
    equal(ours, theirs)


def test_images_that_are_in_memory_already_stay_there():
    source = open_source("digits")
    assert cached(source, "ram", print).train is source.train


@pytest.mark.parametrize("room_for", [0, 2_000])
def test_what_memory_has_no_room_for_is_read_anew_and_told_once(photos, monkeypatch, room_for):
    monkeypatch.setattr(room, "memory", lambda: room.SHARE * room_for)
    plain, told = open_source(f"folder:{photos}"), []
    equal(epoch(cached(plain, "ram", told.append)), epoch(plain))
    assert len(told) == 1 and "of 16 images; the others are read every time" in told[0]


def test_training_and_validation_images_share_the_room(photos, monkeypatch):
    monkeypatch.setattr(room, "memory", lambda: room.SHARE * 12_000)
    source, told = open_source(f"folder:{photos}"), []
    both = cached(replace(source, validation=source.test), "ram", told.append)
    for split in (both.train, both.validation):
        for index in range(split.count):
            split.encoded(split.fetch(np.array([index]))[0])
    assert len(told) == 1
    assert sum(len(each) > room.INDEX for each in both.train.fetch(np.arange(16)).numpy()) < 16


def test_an_address_is_no_place_for_a_cache(photos):
    with pytest.raises(ReskerasError, match="cache: s3://bucket/kept: images are kept on this machine"):
        cached(open_source(f"folder:{photos}"), "s3://bucket/kept", print)


def test_a_folder_that_fills_up_is_told_once_and_nothing_is_lost(photos, tmp_path):
    plain, told = open_source(f"folder:{photos}"), []
    with mounted(tmp_path / "small", "size=128k") as small:
        kept = cached(plain, small, told.append)
        fill(small)
        for _ in range(2):
            equal(epoch(kept), epoch(plain))
    assert len(told) == 1 and "takes no more images" in told[0]


def test_a_file_that_is_none_of_ours_is_refused_by_name(photos, tmp_path):
    plain = open_source(f"folder:{photos}")
    cached(plain, tmp_path / "kept", print)
    [path] = (tmp_path / "kept").glob("*.sqlite")
    path.write_bytes(b"something else, of some length" * 100)
    for beside in (tmp_path / "kept").glob("*-*al"):
        beside.unlink()
    with pytest.raises(ReskerasError, match=f"cache: {path} cannot be used: file is not a database; remove it") as told:
        cached(plain, tmp_path / "kept", print)
    assert told.value.status == 1


def test_what_is_kept_can_be_read_by_others(photos, tmp_path):
    plain = open_source(f"folder:{photos}")
    epoch(cached(plain, tmp_path / "kept", print))
    [path] = (tmp_path / "kept").glob("*.sqlite")
    rows = sqlite3.connect(path).execute("SELECT number, data FROM images ORDER BY number").fetchall()
    files = sorted((photos / "train" / "cat").iterdir()) + sorted((photos / "train" / "dog").iterdir())
    assert [(number, data[room.LABEL :]) for number, data in rows] == [(n, f.read_bytes()) for n, f in enumerate(files)]
