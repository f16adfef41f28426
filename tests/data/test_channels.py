"""A source opened for a run has the run's channels, whatever it was trained on: as `predict` reads the same files."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import reskeras
from reskeras.data.decode import decode_file
from reskeras.data.registry import open_source


def folder(place, mode, side=12, count=6):
    """Training and test images of two classes, PNGs of a mode of Pillow's."""
    rng = np.random.default_rng(len(mode))
    for split in ("train", "test"):
        for label, name in enumerate("ab"):
            (place / split / name).mkdir(parents=True)
            for index in range(count):
                shape = (side, side) if mode == "L" else (side, side, 3)
                pixels = (rng.integers(0, 100, shape) + 100 * label).astype(np.uint8)
                Image.fromarray(pixels, mode).save(place / split / name / f"{index}.png")
    return place


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("channels")
    return {mode: folder(place / mode, mode) for mode in ("L", "RGB")}


@pytest.fixture(scope="module")
def runs(folders, tmp_path_factory):
    place = tmp_path_factory.mktemp("runs")
    return {
        mode: reskeras.train(
            reskeras.network(family="cifar", stages=[1, 1], input_shape=[12, 12, channels]),
            f"folder:{folders[mode]}",
            epochs=1,
            batch_size=4,
            out=place / mode,
        )
        for mode, channels in (("L", 1), ("RGB", 3))
    }


@pytest.mark.parametrize(("stored", "channels"), [("L", 3), ("RGB", 1), ("L", 1), ("RGB", 3)])
def test_images_are_those_that_predict_reads(folders, stored, channels):
    source = open_source(f"folder:{folders[stored]}").with_channels(channels)
    files = sorted(folders[stored].rglob("*.png"))
    images = [source.test.example(tf.constant(index, tf.int64))[0] for index in range(source.test.count)]
    assert source.channels == channels
    read = {decode_file(file, channels).numpy().tobytes() for file in files}
    assert {image.numpy().tobytes() for image in images} <= read
    assert any("read as" in note for note in source.notes) is (channels != (1 if stored == "L" else 3))


@pytest.mark.sample(1)
@pytest.mark.parametrize(("trained", "other"), [("L", "RGB"), ("RGB", "L")])
def test_a_run_works_on_images_of_other_channels(runs, folders, trained, other):
    run, data = runs[trained], f"folder:{folders[other]}"
    for options in ({"views": 10}, {"recalibrate": 4}, {"scales": [12, 16]}):
        assert 0 <= run.evaluate(data, **options).top1 <= 1
    agrees_with_predict(run, data)
    assert run.analyse(data, images=4, lesions=1).images > 0
    [proof] = run.export("serving", data=data, timing=False)
    assert proof.holds


def agrees_with_predict(run, data=None):
    """Evaluation says of each test image what `predict` says of its file."""
    found, test = run.evaluate(data), run.source(data).test
    files = [test.where(index) for index in range(test.count)]
    for label, sure, prediction in zip(found.predicted, found.confidence, run.predict(files, top=1), strict=True):
        [(name, probability)] = prediction.top
        assert (found.classes[label], pytest.approx(sure, abs=1e-5)) == (name, probability)


def test_a_coloured_image_that_came_later_leaves_a_grey_run_as_it_is(runs, folders, tmp_path):
    import shutil

    place = shutil.copytree(folders["L"], tmp_path / "grey")
    run = reskeras.Run(shutil.copytree(runs["L"].path, tmp_path / "run"))
    run.folder.update_provenance(data=run.folder.provenance()["data"] | {"name": f"folder:{place}"})
    before = run.evaluate()
    later = place / "test/b/0.png"
    Image.open(later).convert("RGB").save(later)  # the same pixels, three times
    assert open_source(f"folder:{place}").channels == 3
    after = run.evaluate()
    assert (after.predicted == before.predicted).all() and after.loss == pytest.approx(before.loss, rel=1e-6)
    agrees_with_predict(run)
