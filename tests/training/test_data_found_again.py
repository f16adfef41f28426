"""The data of a run is found from any folder, however its path was typed."""

import numpy as np
import pytest
from PIL import Image

import reskeras
from reskeras.data.kept import kept_name

TINY = {"family": "cifar", "stages": [1, 1], "input_shape": "8x8"}


@pytest.fixture
def photos(tmp_path, monkeypatch):
    draws = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "work" / "photos" / name).mkdir(parents=True)
        for index in range(10):
            pixels = draws.integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "work" / "photos" / name / f"{index}.png")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def test_a_relative_folder_is_found_from_another(photos, monkeypatch):
    run = reskeras.train(reskeras.network(**TINY), "folder:photos", epochs=1, out=photos / "run")
    before = run.evaluate()
    assert run.folder.provenance()["data"]["name"] == "folder:photos"
    monkeypatch.chdir(photos / "elsewhere")
    after = reskeras.Run(photos / "run").evaluate()
    assert (after.images, after.loss, after.data) == (before.images, before.loss, before.data)


def test_the_name_as_typed_is_used_where_only_that_is_there(photos):
    assert kept_name({"name": "folder:photos", "place": "folder:/gone/photos"}) == "folder:photos"
    assert kept_name({"name": "folder:lost", "place": "folder:/gone/photos"}) == "folder:/gone/photos"
    assert kept_name({"name": "folder:/moved", "place": "folder:/gone/photos"}) == "folder:/moved"
    assert kept_name({"name": "cifar10"}) == "cifar10"  # as older runs have it
