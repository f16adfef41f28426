"""A training goes on with the images that it began with, or not at all; runs of before go on as they were."""

import json

import numpy as np
import pytest

import reskeras
from reskeras.errors import ReskerasError
from reskeras.runs import DATA_FILE, PROVENANCE_FILE
from tests.data.test_folder import picture, two_classes

NETWORK = {"family": "cifar", "stages": [1], "input_shape": [8, 8, 3], "stem": {"convs": [{"width": 8}]}}
HOW = {"batch_size": 8, "precision": "float32"}


def trained(folder, out, epochs=1, **how):
    return reskeras.train(reskeras.network(**NETWORK), f"folder:{folder}", epochs=epochs, out=out, **HOW, **how)


def forget(run):
    """Make a run one of before fingerprints."""
    known = json.loads((run.path / PROVENANCE_FILE).read_text())
    for name in ("division", "fingerprint"):
        del known["data"][name]
    (run.path / PROVENANCE_FILE).write_text(json.dumps(known))
    (run.path / DATA_FILE).unlink()


@pytest.fixture
def photos(tmp_path):
    two_classes(tmp_path / "photos", 20)
    return tmp_path / "photos"


def gone(photos):
    for index in range(7):
        (photos / "dog" / f"{index}.png").unlink()


def swapped(photos):
    (photos / "cat").rename(photos.parent / "aside")
    (photos / "dog").rename(photos / "cat")
    (photos.parent / "aside").rename(photos / "dog")


@pytest.mark.parametrize(("change", "told"), [(gone, "7 images are gone"), (swapped, "the labels of 40 images")])
def test_resume_on_changed_data_is_refused_and_says_what_differs(photos, tmp_path, change, told):
    run = trained(photos, tmp_path / "run")
    before = run.folder.metrics()
    change(photos)
    with pytest.raises(ReskerasError, match=told) as caught:
        trained(photos, run.path, resume=True)
    assert caught.value.status == 2
    assert "\n" not in str(caught.value)
    assert run.folder.metrics() == before
    notes = []
    run.evaluate(tell=notes.append)
    assert any("has changed since training" in note and told in note for note in notes)


def test_a_run_is_never_tested_on_an_image_that_it_was_trained_on(photos, tmp_path):
    run = trained(photos, tmp_path / "run")
    source = run.source()
    seen = set(source.train.names())
    for file in source.test.names():
        if "/cat/" in file:  # then the hashes give the class no test image, and one of training would take its place
            (tmp_path / file).unlink()
    picture(photos / "cat" / "extra.png")
    again, notes = run.source(), []
    assert not seen & set(again.test.names())
    run.evaluate(tell=notes.append)
    assert any("gone" in note and "new" in note for note in notes)


def test_data_whose_test_images_were_all_trained_on_is_refused(tmp_path):
    for split, first in (("train", 0), ("test", 8)):
        for label in ("cat", "dog"):
            (tmp_path / "photos" / split / label).mkdir(parents=True)
            for index in range(first, first + 8):
                picture(tmp_path / "photos" / split / label / f"{index}.png")
    run = trained(tmp_path / "photos", tmp_path / "run")
    for old, new in (("train", "kept"), ("test", "train"), ("kept", "test")):
        (tmp_path / "photos" / old).rename(tmp_path / "photos" / new)
    with pytest.raises(ReskerasError, match=r"data: the run was trained on all 16 images that .* now has for testing"):
        run.evaluate()


def test_unchanged_data_resumes_without_a_word(photos, tmp_path):
    trained(photos, tmp_path / "run")
    told = []
    trained(photos, tmp_path / "run", resume=True, tell=told.append)
    assert not any("fingerprint" in note or "changed" in note for note in told)


def test_runs_of_before_keep_their_split_and_resume_with_a_note(photos, tmp_path):
    run = trained(photos, tmp_path / "run")
    forget(run)
    labels = np.repeat([0, 1], 20)
    from reskeras.data.division import divided_by_position

    everything = sorted([*(photos / "cat").iterdir(), *(photos / "dog").iterdir()])
    expected = [str(everything[index]) for index in divided_by_position(labels, 0.2)[1]]
    notes = []
    run.evaluate(tell=notes.append)
    assert run.source().test.names() == expected
    assert any("has no fingerprint" in note for note in notes)
    told = []
    trained(photos, tmp_path / "run", resume=True, tell=told.append)
    assert any("has no fingerprint" in note for note in told)
