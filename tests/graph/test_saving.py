"""Saving and loading: deep networks in a fresh process, broken and hostile files refused."""

import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

import reskeras
from reskeras.errors import ReskerasError
from reskeras.graph.load import load_model, save_model
from tests.graph.by_hand import distance

FRESH = """
import sys
import numpy as np
import reskeras
assert sys.getrecursionlimit() == 1000
model = reskeras.load(sys.argv[1])
np.save(sys.argv[2], model(np.load(sys.argv[3]), training=False))
"""


def same_in_a_fresh_process(folder, **fields):
    """Build, save, load in a new Python at its default recursion limit, and compare the answers."""
    assert sys.getrecursionlimit() == 1000
    model = reskeras.build(seed=0, **fields)
    rng = np.random.default_rng(0)
    for _ in range(3):  # a fresh deep net overflows in inference: let its statistics see numbers first
        model(rng.normal(size=(8, *model.input_shape[1:])).astype(np.float32), training=True)
    save_model(model, folder / "net.keras")
    size = model.input_shape[1]
    images = rng.normal(size=(2, size, size, 3)).astype(np.float32)
    np.save(folder / "images.npy", images)
    subprocess.run([sys.executable, "-c", FRESH, folder / "net.keras", folder / "out.npy", folder / "images.npy"],
                   check=True, timeout=300)
    assert distance(np.load(folder / "out.npy"), model(images, training=False)) < 1e-5


@pytest.mark.parametrize(("order", "skip"), [("original", "identity"), ("full_preact", "dropout")])
def test_a_net_too_deep_for_one_flat_graph_is_built_saved_and_loaded(tmp_path, order, skip):
    same_in_a_fresh_process(tmp_path, family="cifar", stages=[{"units": 260, "width": 4}], input_shape=[8, 8, 3],
                            stem={"convs": [{"width": 4}]}, block="single", order=order, skip=skip)


@pytest.mark.slow
def test_1202_layers_are_built_saved_and_loaded(tmp_path):
    same_in_a_fresh_process(tmp_path, family="cifar", depth=1202)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "net.keras"
    save_model(reskeras.build(family="cifar", stages=[1], input_shape=[8, 8, 3]), path)
    return path.read_bytes()


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_a_truncated_file_is_broken(saved, tmp_path, keep):
    path = tmp_path / "cut.keras"
    path.write_bytes(saved[: keep if isinstance(keep, int) else int(len(saved) * keep)])
    with pytest.raises(ReskerasError, match=r"cut\.keras is broken") as caught:
        load_model(path)
    assert caught.value.status == 1
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_a_file_without_a_part_is_broken(saved, tmp_path, member):
    (tmp_path / "whole.keras").write_bytes(saved)
    with zipfile.ZipFile(tmp_path / "whole.keras") as whole, zipfile.ZipFile(tmp_path / "part.keras", "w") as part:
        for name in whole.namelist():
            if name != member:
                part.writestr(name, whole.read(name))
    with pytest.raises(ReskerasError, match=r"part\.keras is broken") as caught:
        load_model(tmp_path / "part.keras")
    assert caught.value.status == 1


def test_weights_of_another_network_are_broken(saved, tmp_path):
    wider = {"convs": [{"width": 12}]}
    save_model(reskeras.build(family="cifar", stages=[1], stem=wider, input_shape=[8, 8, 3]), tmp_path / "other.keras")
    (tmp_path / "one.keras").write_bytes(saved)
    with zipfile.ZipFile(tmp_path / "one.keras") as one, zipfile.ZipFile(tmp_path / "other.keras") as other, \
            zipfile.ZipFile(tmp_path / "mixed.keras", "w") as mixed:
        for name in one.namelist():
            mixed.writestr(name, (other if name.endswith("h5") else one).read(name))
    with pytest.raises(ReskerasError, match=r"mixed\.keras is broken"):
        load_model(tmp_path / "mixed.keras")


def test_a_missing_file_and_another_kind_of_file_are_wrong_requests(tmp_path):
    (tmp_path / "net.h5").write_bytes(b"")
    for path, named in ((tmp_path / "absent.keras", "there is no file"), (tmp_path / "net.h5", "not a .keras file")):
        with pytest.raises(ReskerasError, match=named) as caught:
            load_model(path)
        assert caught.value.status == 2


def test_an_archive_that_unpacks_to_too_much_is_refused(saved, tmp_path, monkeypatch):
    from reskeras.graph import load

    (tmp_path / "net.keras").write_bytes(saved)
    monkeypatch.setattr(load, "LARGEST_ARCHIVE", 1000)
    with pytest.raises(ReskerasError, match="unpacks to"):
        load_model(tmp_path / "net.keras")


def test_a_failed_save_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    model = reskeras.build(family="cifar", stages=[1], input_shape=[8, 8, 3])
    save_model(model, tmp_path / "net.keras")
    before = (tmp_path / "net.keras").read_bytes()

    def half(self, path, *args, **kwargs):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(keras.Model, "save", half)
    with pytest.raises(OSError, match="no space left"):
        save_model(model, tmp_path / "net.keras")
    assert (tmp_path / "net.keras").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["net.keras"]
