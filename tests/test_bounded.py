"""Archives and arrays that unpack to far more than they are, or are kept in other files, are refused in a line."""

import zipfile

import h5py
import numpy as np
import pytest

from reskeras.bounded import check_archive, check_hdf5, read_bounded
from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.graph.load import load_model, save_model
from reskeras.porting.foreign_model import read_source
from reskeras.training.checkpoints import Checkpoints

ZEROS = 300 << 20  # bytes, which deflate to 300 KB


def deflated(path, name):
    """An archive of zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as entry:
        for _ in range(ZEROS >> 20):
            entry.write(bytes(1 << 20))
    return path


def refusal(work, *arguments):
    with pytest.raises(ReskerasError) as caught:
        work(*arguments)
    assert caught.value.status == 1
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_an_archive_of_zeros_is_refused_wherever_archives_are_read(tmp_path):
    assert "unpacks to 314,572,800" in refusal(load_model, deflated(tmp_path / "model.keras", "model.weights.h5"))
    assert "unpacks to 314,572,800" in refusal(Preprocessing.load, deflated(tmp_path / "p.npz", "mean.npy"))
    told = []
    deflated(tmp_path / "state-000001-00000000.npz", "facts.npy")
    assert Checkpoints(tmp_path, 1).newest(told.append) is None
    assert "unpacks to 314,572,800" in told[0]


def test_state_dicts_of_pytorch_are_bounded_too(tmp_path):
    torch = pytest.importorskip("torch")
    assert "unpacks to" in refusal(read_source, deflated(tmp_path / "zeros.pth", "archive/data/0"))
    torch.save({"fc.weight": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "view.pth")  # of one number
    assert "unpacks to 4,000,000,000,000" in refusal(read_source, tmp_path / "view.pth")


def hostile(path, how):
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{}"
        layers = file.create_group("layers")
        if how == "shape":
            layers.create_dataset("kernel", (10**6, 10**6), "f4", chunks=(10**3, 10**3), compression="gzip")
        elif how == "external":
            layers.create_dataset("kernel", (10,), "f4", external=[("/etc/passwd", 0, 40)])
        elif how == "link":
            layers["kernel"] = h5py.ExternalLink("/etc/passwd", "/")
        elif how == "circle":
            layers["again"] = layers
            layers["kernel"] = np.ones(3, np.float32)
    return path


@pytest.mark.parametrize(
    ("how", "words"),
    [("shape", "unpacks to 4,000,000,000,000"), ("external", "in another file"), ("link", "in another file")],
)
def test_arrays_of_hdf5_are_bounded_and_stand_in_their_own_file(tmp_path, how, words):
    path = hostile(tmp_path / "model.h5", how)
    assert words in refusal(read_source, path)
    assert words in refusal(read_source, path, "ResNet50")
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.write(path, "model.weights.h5")
        archive.writestr("config.json", "{}")
    assert words in refusal(load_model, tmp_path / "model.keras")


def test_groups_that_link_in_a_circle_end(tmp_path):
    check_hdf5(hostile(tmp_path / "model.h5", "circle"), "model")


def test_what_is_honestly_compressed_or_large_passes(tmp_path):
    import keras

    model = keras.Sequential([keras.layers.Input((100,)), keras.layers.Dense(5000)])
    save_model(model, tmp_path / "model.keras")
    check_archive(tmp_path / "model.keras", "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model.keras").layers[0].kernel, model.layers[0].kernel)
    np.savez_compressed(tmp_path / "ones.npz", ones=np.ones((1000, 1000)))
    check_archive(tmp_path / "ones.npz", "ones")


def test_a_file_is_read_up_to_its_bound(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_bounded(tmp_path / "file", 5) == b"12345"
    for path, largest in ((tmp_path / "file", 4), (tmp_path, 5)):
        with pytest.raises(ValueError, match=r"larger than|not a regular file"):
            read_bounded(path, largest)


@pytest.mark.parametrize("spoil", ["too large", "no text", "a folder"])
@pytest.mark.parametrize("name", ["classes.txt", "metrics.jsonl", "provenance.json"])
def test_text_files_of_a_run_are_bounded(copied, name, spoil):
    file = copied.path / name
    file.unlink()
    if spoil == "a folder":
        file.mkdir()
    else:
        with open(file, "wb") as opened:
            opened.write(b"\xff")
            opened.truncate(300 << 20 if spoil == "too large" else 1)
    read = {
        "classes.txt": copied.folder.classes,
        "metrics.jsonl": copied.folder.metrics,
        "provenance.json": copied.folder.provenance,
    }[name]
    with pytest.raises(ReskerasError) as caught:
        read()
    assert len(str(caught.value).splitlines()) == 1
