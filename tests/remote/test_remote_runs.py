"""Runs and data at addresses: trained, stopped, resumed elsewhere, evaluated and exported as those of this machine."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import reskeras
from reskeras.errors import ReskerasError
from reskeras.files import InUse, only_writer, place_of, store
from reskeras.files.manifest import MANIFEST, Manifest
from reskeras.files.store import Store
from tests.cli.running import printed, refused
from tests.conftest import TINY
from tests.data.tfds_sets import prepared_set

ROOT = Path(__file__).parents[2]
DETERMINISTIC = {"epochs": 2, "deterministic": True, "precision": "float32", "checkpoint_steps": 5}


@pytest.fixture(autouse=True)
def own_copies(another_machine, monkeypatch):
    monkeypatch.setattr(store, "WAITS", ())


def put_folder(folder, address):
    """Put a folder of this machine there as any program would."""
    files = Store(address)
    for file in folder.rglob("*"):
        if file.is_file():
            files.put(file, file.relative_to(folder).as_posix())


def photos(folder):
    """Ten small images of two classes."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(("dark", "light")):
        (folder / name).mkdir(parents=True)
        for number in range(5):
            pixels = rng.integers(128 * label, 128 * label + 127, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


class Stopped(Exception):
    """Ends a training as a fault would."""


def stopping_at(step):
    import keras

    count = [0]

    def look(batch, logs):
        count[0] += 1
        if count[0] == step:
            raise Stopped

    return keras.callbacks.LambdaCallback(on_train_batch_end=look)


def weights(run):
    return run.model().get_weights()


@pytest.mark.sample(1)
def test_a_training_that_was_stopped_goes_on_elsewhere_to_the_same_bits(bucket, another_machine, tmp_path):
    network, address = reskeras.network(**TINY), f"{bucket}/run"
    here = reskeras.train(network, out=tmp_path / "here", **DETERMINISTIC)
    with pytest.raises(Stopped):
        reskeras.train(network, out=address, callbacks=[stopping_at(30)], **DETERMINISTIC)
    another_machine()
    told = []
    there = reskeras.train(network, out=address, resume=True, tell=told.append, **DETERMINISTIC)
    assert "resume: continuing after epoch 1, step 5" in told
    assert there.folder.provenance()["trained_sha256"] == here.folder.provenance()["trained_sha256"]
    another_machine("third")
    again = reskeras.Run(address)
    assert all(np.array_equal(*pair) for pair in zip(weights(again), weights(here), strict=True))
    assert not list(again.path.rglob("state-*.npz"))  # only a training that goes on needs them
    assert [row["epoch"] for row in again.folder.metrics()] == [1, 2]
    assert again.evaluate().top1 == here.evaluate().top1
    assert repr(again) == f"Run('{address}')"


@pytest.mark.slow
def test_the_command_line_does_with_an_address_what_it_does_with_a_folder(bucket, another_machine, objects, tmp_path):
    address, tiny = f"{bucket}/runs/tiny", ["--family", "cifar", "--set", "stages=[1]", "--input-shape", "8x8x1"]
    told = printed("train", *tiny, "--epochs", 1, "--out", address)
    assert f"saved      {address}" in told
    assert f"reskeras export {address}" in told
    said = refused("train", *tiny, "--epochs", 1, "--out", address)
    assert f"out: {address} already exists" in said
    another_machine()
    assert json.loads(printed("evaluate", address, "--json"))["images"] == 359
    printed("evaluate", address, "--predictions", f"{bucket}/predictions.csv")
    printed("export", address, "--to", "serving", "--to", "tflite", "--no-timing")
    printed("report", address)
    printed("show", address)
    printed("conform", address)
    printed("analyse", address, "--images", 8)
    assert "reskeras/remote" in printed("serve", address, "--dry-run")  # the server reads the copy
    there = objects(address)
    assert {"model.keras", "report.html", "export/report.json", "analysis/analysis.json", MANIFEST} <= there.keys()
    assert any(name.startswith("logs/") for name in there)
    assert not [name for name, data in there.items() if b"/reskeras/remote/" in data and "models.local" not in name]
    assert sorted(there.keys() - {MANIFEST}) == sorted(Manifest.read(there[MANIFEST], "").files)
    assert objects(bucket)["predictions.csv"].startswith(b"index,image,")
    another_machine("third")
    proofs = reskeras.Run(address).proofs()
    assert [proof.kind for proof in proofs] == ["serving", "tflite"]
    assert all(Path(proof.path).exists() for proof in proofs)
    told = printed("train", *tiny, "--from", address, "--epochs", 1, "--out", tmp_path / "tuned")
    assert f"starting from {address}" in told


@pytest.mark.sample(1)
def test_a_remote_folder_of_images_is_trained_on_found_again_and_noticed_when_it_changes(
    bucket, another_machine, tmp_path
):
    put_folder(photos(tmp_path / "photos"), f"{bucket}/photos")
    data, tiny = f"folder:{bucket}/photos", ["--family", "cifar", "--set", "stages=[1]", "--input-shape", "8x8x3"]
    assert "light" in printed("data", data)
    printed("train", *tiny, "--data", data, "--epochs", 1, "--batch-size", 4, "--out", f"{bucket}/run")
    another_machine()
    run = reskeras.Run(f"{bucket}/run")
    assert run.folder.provenance()["data"]["name"] == data
    told = printed("evaluate", f"{bucket}/run")
    assert "has changed" not in told
    assert "no test folder" not in told  # the training has said so
    printed("train", *tiny, "--data", data, "--epochs", 1, "--batch-size", 4, "--out", f"{bucket}/run", "--resume")
    shutil.rmtree(tmp_path / "photos" / "dark")
    Store(f"{bucket}/photos").delete("light/0.png")
    another_machine("third")
    said = refused("train", *tiny, "--data", data, "--epochs", 1, "--out", f"{bucket}/run", "--resume")
    assert "has changed since its training began" in said or "another training" in said
    assert "light" in printed("predict", f"{bucket}/run", f"{bucket}/photos/light/1.png", "--json")


@pytest.mark.sample(2)
@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_tables_and_archives_at_addresses_are_read_with_what_they_name(kind, bucket, another_machine, tmp_path):
    files = sorted(photos(tmp_path / "photos").rglob("*.png"))
    rows = [f"{file.relative_to(tmp_path / 'photos')},{file.parent.name}" for file in files]
    (tmp_path / "photos" / "table.csv").write_text("\n".join(["path,label", *rows]))
    pixels = np.stack([np.asarray(Image.open(file)) for file in files])
    np.savez(tmp_path / "photos" / "arrays.npz", x=pixels, y=np.arange(10) // 5, classes=["dark", "light"])
    put_folder(tmp_path / "photos", f"{bucket}/photos")
    data = f"{kind}:{bucket}/photos/{'table.csv' if kind == 'csv' else 'arrays.npz'}"
    shown = printed("data", data)
    assert "light" in shown and str(Path.home()) not in shown
    network = reskeras.network(family="cifar", stages=[1], input_shape=[8, 8, 3])
    run = reskeras.train(network, data, epochs=1, batch_size=4, out=f"{bucket}/run")
    assert run.folder.provenance()["data"]["name"] == data
    another_machine()
    notes = []
    assert reskeras.Run(f"{bucket}/run").evaluate(tell=notes.append).images and not notes
    if kind == "csv":
        Store(f"{bucket}/photos").delete("light/0.png")
        another_machine("third")
        said = refused("data", data)
        assert f"{bucket}/photos/table.csv, line 7: 'light/0.png' is missing" in said


def test_of_a_remote_data_dir_only_the_set_is_read(bucket, another_machine, tmp_path):
    prepared_set(tmp_path / "sets", "wanted", {"train": [0, 1] * 8, "test": [0, 1]}, shape=(8, 8, 3))
    prepared_set(tmp_path / "sets", "other", {"train": [0, 1], "test": [0, 1]})
    put_folder(tmp_path / "sets", f"{bucket}/sets")
    network = reskeras.network(family="cifar", stages=[1], input_shape=[8, 8, 3])
    run = reskeras.train(network, "tfds:wanted", epochs=1, batch_size=4, data_dir=f"{bucket}/sets", out=f"{bucket}/run")
    assert run.folder.provenance()["data"]["data_dir"] == f"{bucket}/sets"
    copy = place_of(f"{bucket}/sets", "data_dir")
    assert [each.name for each in copy.iterdir()] == ["wanted"]
    another_machine()
    assert reskeras.Run(f"{bucket}/run").evaluate().images == 2


@pytest.mark.sample(1)
def test_a_store_that_refuses_in_the_middle_ends_a_training_in_a_line_and_loses_nothing(
    bucket, another_machine, monkeypatch
):
    network, address = reskeras.network(**TINY), f"{bucket}/run"
    put, count = Store.put, [0]

    def full(self, file, name):
        count[0] += "state-" in name
        if count[0] == 2:
            raise OSError(28, "")
        put(self, file, name)

    monkeypatch.setattr(Store, "put", full)
    with pytest.raises(ReskerasError) as told:
        reskeras.train(network, out=address, **DETERMINISTIC)
    assert told.value.status == 1
    assert str(told.value).startswith(f"{address}/checkpoints/state-")
    assert "there is no space left; make room; state-000000-00000005.npz is intact" in str(told.value)
    monkeypatch.setattr(Store, "put", put)
    another_machine()
    told = []
    run = reskeras.train(network, out=address, resume=True, tell=told.append, **DETERMINISTIC)
    assert "resume: continuing after epoch 0, step 5" in told
    assert len(run.folder.metrics()) == 2


def test_a_bucket_without_permission_is_named_before_the_training(bucket, monkeypatch):
    def refusing(self, name, data, create=False):
        raise PermissionError(13, "")

    monkeypatch.setattr(Store, "write", refusing)
    said = refused("train", "cifar-resnet-20", "--out", f"{bucket}/run", status=1)
    assert said == f"reskeras: {bucket}/run cannot be written: permission denied\n"


@pytest.mark.sample(1)
def test_a_second_training_of_a_remote_run_is_refused(bucket):
    network = reskeras.network(**TINY)
    run = reskeras.train(network, out=f"{bucket}/run", epochs=1)
    with (
        only_writer(run.path, "run"),
        pytest.raises(InUse, match=f"run: {bucket}/run is being written by process {os.getpid()}"),
    ):
        reskeras.train(network, out=f"{bucket}/run", epochs=1, resume=True)


def test_a_search_at_an_address_is_refused(bucket):
    said = refused("tune", "cifar-resnet-20", "--space", "depth-width", "--out", f"{bucket}/search")
    assert "use a folder of this machine" in said


def killed(out, cache, moment="never"):
    """Run the training that kills itself, with a cache of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tests.training.killed", str(out), moment, "1", "{}"],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "XDG_CACHE_HOME": str(cache)},
    )  # fmt: skip


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_from_an_empty_cache_to_the_same_bits(s3, another_machine, tmp_path):
    def digest(done):
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[-1]

    expected = digest(killed(tmp_path / "here", tmp_path / "cache"))
    for moment in ("step:27", "putting:4", "naming:9"):
        address = f"{s3}/{moment.replace(':', '-')}"
        assert killed(address, tmp_path / f"{moment}-first", moment).returncode == -signal.SIGKILL
        assert digest(killed(address, tmp_path / f"{moment}-second")) == expected, moment
    another_machine()
    run = reskeras.Run(address)
    assert run.evaluate().top1 == reskeras.Run(tmp_path / "here").evaluate().top1
    assert all(proof.holds for proof in run.export("serving", "tflite"))
