"""What is remembered of image files: never more than is true of them now, whatever happened to the cache."""

import json
import os
import threading

import numpy as np
import pytest
from PIL import Image

from reskeras.data import checked
from reskeras.data.checked import check_files
from reskeras.data.registry import open_source

RNG = np.random.default_rng(0)


def picture(path, size=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 255, (size, size, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def files(tmp_path):
    return [picture(tmp_path / "images" / name / f"{index}.png") for name in ("cat", "dog") for index in range(5)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "images"


@pytest.fixture
def read(monkeypatch):
    """The files that are decoded, as they are."""
    seen, real = [], checked._mode
    monkeypatch.setattr(checked, "_mode", lambda file: seen.append(file) or real(file))
    return seen


def test_a_second_opening_decodes_nothing_and_finds_the_same(folder, files, read, own_cache):
    first = check_files(folder, files)
    assert sorted(read) == sorted(files)
    read.clear()
    assert check_files(folder, files) == first
    assert read == []
    assert len(list(own_cache.rglob("*.json"))) == 1


def test_a_file_that_changed_in_size_or_time_is_decoded_again(folder, files, read):
    check_files(folder, files)
    read.clear()
    picture(files[0], 9)
    os.utime(files[1], ns=(1, 1))
    files[2].write_bytes(b"broken")
    found = check_files(folder, files)
    assert sorted(read) == sorted(files[:3])
    assert [found[file].mode for file in files[:4]] == ["RGB", "RGB", None, "RGB"]


def test_broken_files_are_not_remembered(folder, files, read):
    files[0].write_bytes(b"broken")
    check_files(folder, files)
    read.clear()
    assert check_files(folder, files)[files[0]].mode is None
    assert read == files[:1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"readers": 1}',
        '{"readers": READERS, "files": []}',
        '{"readers": READERS, "files": null}',
        '{"readers": READERS, "files": {"cat/0.png": [1]}}',
        '{"readers": READERS, "files": {"cat/0.png": ["1", 2, "L"]}}',
        '{"readers": READERS, "files": {"cat/0.png": 5}}',
        '{"readers": READERS, "files": {"cat/0.png": [1, 2, 3]}}',
        "\xff",
        "[" * 100_000,
    ],
)
def test_a_broken_cache_is_ignored_and_written_anew(folder, files, read, own_cache, text):
    first = check_files(folder, files)
    [place] = own_cache.rglob("*.json")
    place.write_text(text.replace("READERS", json.dumps(checked._readers())), encoding="utf-8")
    read.clear()
    assert check_files(folder, files) == first
    assert len(read) == len(files)
    read.clear()
    check_files(folder, files)
    assert read == []


def test_another_release_of_the_readers_checks_anew(folder, files, read, monkeypatch):
    check_files(folder, files)
    read.clear()
    monkeypatch.setattr(checked.tf, "__version__", "99")
    check_files(folder, files)
    assert len(read) == len(files)


def test_off_neither_reads_nor_writes(folder, files, read, own_cache, monkeypatch):
    monkeypatch.setenv("RESKERAS_CACHE", "off")
    for _ in range(2):
        check_files(folder, files)
    assert len(read) == 2 * len(files)
    assert list(own_cache.iterdir()) == []


def test_a_cache_folder_that_cannot_be_made_does_no_harm(folder, files, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert all(entry.mode == "RGB" for entry in check_files(folder, files).values())


def test_many_at_once_leave_one_whole_file(folder, files, own_cache):
    threads = [threading.Thread(target=check_files, args=(folder, files[index % 3 :])) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [place] = own_cache.rglob("*.json")
    assert {mode for _, _, mode, _ in json.loads(place.read_text())["files"].values()} == {"RGB"}
    assert not list(own_cache.rglob(".*"))


def test_names_in_any_alphabet_are_remembered(folder, files, read):
    files += [picture(folder / "cat" / "käthe 猫.png"), picture(folder / "cat" / 'a "quote"\n.png')]
    check_files(folder, files)
    read.clear()
    check_files(folder, files)
    assert read == []


def test_opening_a_folder_uses_what_is_remembered(folder, files, read):
    first = open_source(f"folder:{folder}")
    read.clear()
    again = open_source(f"folder:{folder}")
    assert read == []
    assert (again.train.count, again.test.count, again.channels, again.classes) == (
        first.train.count,
        first.test.count,
        first.channels,
        first.classes,
    )
