"""`npz:PATH`: NumPy's archives, as keras.datasets has them, and archives that are not what they say."""

import io
import zipfile

import numpy as np
import pytest

from reskeras.data.registry import open_source
from reskeras.errors import ReskerasError
from tests.cli.running import printed, refused
from tests.data.kinds import images_of, pixels_of

X, Y = images_of(30)
XT, YT = images_of(9, seed=1)


def refusal(path, status=2, **options):
    with pytest.raises(ReskerasError) as caught:
        open_source(f"npz:{path}", **options)
    assert caught.value.status == status and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def saved(tmp_path):
    def save(compressed=False, **arrays):
        (np.savez_compressed if compressed else np.savez)(tmp_path / "photos.npz", **arrays)
        return tmp_path / "photos.npz"

    return save


@pytest.mark.parametrize("compressed", [False, True])
def test_the_arrays_of_keras_datasets_are_read(saved, compressed):
    path = saved(compressed, x_train=X, y_train=Y[:, None].astype(np.uint8), x_test=XT, y_test=YT)
    source = open_source(f"npz:{path}")
    assert (source.name, source.label, source.given, source.classes) == (
        f"npz:{path}",
        "photos.npz",
        "",
        ("0", "1", "2"),
    )
    np.testing.assert_array_equal(pixels_of(source.train)[0], X)
    np.testing.assert_array_equal(pixels_of(source.test)[1], YT)
    assert source.divided == "x_test and y_test"


def test_one_pair_is_divided_and_names_and_rows_are_understood(saved):
    path = saved(x=X / 255, y=np.stack([Y == 0, Y >= 0], axis=1), classes=np.array(["cat", "dog"]))
    source = open_source(f"npz:{path}")
    assert source.multi_label and source.classes == ("cat", "dog") and source.train.count < 30
    assert any("photos.npz: float images from 0 to 1 became uint8, exactly" in note for note in source.notes)
    with_validation = open_source(f"npz:{saved(x_train=X, y_train=Y, x_val=XT, y_val=YT)}")
    assert with_validation.validation.count == 9


def test_opened_for_testing_test_arrays_alone_are_enough(saved):
    path = saved(x_test=XT, y_test=YT)
    source = open_source(f"npz:{path}", testing=("a", "b", "c"))
    assert source.classes == ("a", "b", "c") and source.test.count == 9 and source.train is None
    assert "x_train and y_train are needed, or x and y; there are x_test, y_test" in refusal(path)


def test_a_survey_reads_it(saved):
    assert "photos.npz" in printed("data", f"npz:{saved(x_train=X, y_train=Y, x_test=XT, y_test=YT)}")


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"images": X, "labels": Y}, "arrays x_train and y_train are needed, or x and y; there are none"),
        ({"x_train": X}, "has x_train, but not y_train; give both, or neither"),
        ({"x": X, "y": Y, "x_test": XT}, "has x_test, but not y_test; give both, or neither"),
        ({"x_train": X, "y_train": Y[:-1]}, "x_train has 30 images, but y_train has 29 labels"),
        ({"x_train": X, "y_train": Y, "x_test": XT, "y_test": YT + 1}, "y_test[6] is 3; y_train has 3 classes"),
        ({"x": X - 1.0, "y": Y}, "has a pixel -1"),
        ({"x": X, "y": np.array([{}] * 30, object)}, "y has Python objects, which are not read"),
        ({"x": X, "y": Y, "classes": np.array(["a", "b"])}, "y[20] is 2; there are 2 classes"),
        ({"x": X, "y": Y, "classes": np.arange(3)}, "should be a list of names"),
    ],
)
def test_wrong_arrays_are_refused_with_the_file(saved, arrays, told, tmp_path):
    path = saved(**arrays)
    message = refusal(path)
    assert told in message and str(path) in message
    refused("train", "resnet-18", "--data", f"npz:{path}", "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def forged(path, shape, data=b"\0" * 64, **how):
    """An archive whose array x promises `shape` and has `data`."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header.getvalue() + data)
    return path


def test_an_archive_that_promises_more_than_it_has_makes_no_room_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("was read"))
    path = forged(tmp_path / "large.npz", (10**6, 1000, 1000, 3))
    assert "x promises 3,000,000,000,000 bytes and has " in refusal(path, status=1)


def test_bombs_broken_and_foreign_files_are_refused(tmp_path, saved, monkeypatch):
    bomb = forged(tmp_path / "bomb.npz", (1 << 28, 1, 1), b"\0" * (1 << 28))
    assert "unpacks to" in refusal(bomb, status=1)
    path = saved(x=X, y=Y)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "is broken" in refusal(path, status=1)
    path.write_bytes(b"no archive")
    assert "is broken" in refusal(path, status=1)
    assert "file not found" in refusal(tmp_path / "none.npz")
    assert "file not found" in refusal(tmp_path)
    path.write_bytes(whole)
    monkeypatch.setattr("reskeras.data.pixels.memory", lambda: 3000)
    assert "there is room for 1,000 in memory" in refusal(path)
    assert f"is a file; use npz:{path}" in refused("data", path)


def test_nothing_in_it_is_executed(tmp_path):
    import pickle

    class Bad:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    with zipfile.ZipFile(tmp_path / "bad.npz", "w") as archive:
        archive.writestr("x.npy", pickle.dumps(Bad()))
    refusal(tmp_path / "bad.npz", status=1)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("header", ["{'descr': '|u1', 'shape': f(\n", "(" * 300, "{'descr': 3, 'shape': (1,)}"])
def test_a_header_that_is_no_literal_is_broken(tmp_path, header):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
    assert "x.npz is broken" in refusal(tmp_path / "x.npz", status=1)
