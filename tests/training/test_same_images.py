"""The same images give the same training, whatever they come in; and what a run of images without a name can do."""

import json

import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.errors import ReskerasError
from reskeras.runs import PROVENANCE_FILE
from tests.data.kinds import CLASSES, every_kind, images_of

NETWORK = {"family": "cifar", "stages": [1], "input_shape": [12, 12, 3], "stem": {"convs": [{"width": 4}]}}
SPACE = {"parameters": {"recipe.learning_rate": [0.1, 0.01]}}
HOW = {"batch_size": 8, "precision": "float32", "deterministic": True, "holdout": 0.0}
TRAIN, TEST = images_of(48), images_of(12, seed=1)


def trained(data, out, epochs=1, **how):
    return reskeras.train(reskeras.network(**NETWORK), data, epochs=epochs, out=out, **HOW, **how)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    return every_kind(tmp_path_factory.mktemp("kinds"), TRAIN, TEST)


@pytest.fixture(scope="module")
def of_arrays(tmp_path_factory, kinds):
    """A run trained on arrays. Tests must not change it."""
    data, options = kinds["arrays"]
    return trained(reskeras.source(data, **options), tmp_path_factory.mktemp("runs") / "arrays")


@pytest.mark.slow
def test_the_same_images_train_bit_equally_whatever_they_come_in(kinds, tmp_path, of_arrays):
    found = {}
    for place, (kind, (data, options)) in enumerate(kinds.items()):
        run = trained(reskeras.source(data, **options), tmp_path / str(place))
        found[kind] = run.folder.provenance()["trained_sha256"], run.evaluate().loss
    assert len(found) == 8 and set(found.values()) == {found["folder"]}
    assert found["folder"][0] == of_arrays.folder.provenance()["trained_sha256"]
    turned = trained((TRAIN[0][::-1], TRAIN[1][::-1], *TEST), tmp_path / "turned")
    assert turned.folder.provenance()["trained_sha256"] != found["folder"][0]


def test_a_run_keeps_no_images_and_asks_for_them(of_arrays):
    known = json.loads((of_arrays.path / PROVENANCE_FILE).read_text())["data"]
    assert (known["name"], known["given"], known["train"], known["test"]) == ("arrays", "arrays", 48, 12)
    assert of_arrays.evaluate().images == 12  # the run that training gave has them still
    again = reskeras.Run(of_arrays.path)
    for method in (again.evaluate, again.analyse, again.export):
        with pytest.raises(ReskerasError, match="keeps their fingerprint but no images; give them again") as caught:
            method()
        assert caught.value.status == 2 and str(caught.value).count("\n") == 0
    assert "no images" in again.material().missing


def test_the_same_images_are_recognised_and_others_told(of_arrays):
    again, notes = reskeras.Run(of_arrays.path), []
    expected = of_arrays.evaluate()
    for data in ((TRAIN, TEST), reskeras.source((TRAIN, TEST), classes=CLASSES)):
        found = again.evaluate(data, tell=notes.append)
        assert (found.loss, found.data) == (expected.loss, "arrays")
    assert not [note for note in notes if "not the images" in note]
    alone = again.evaluate(TEST, tell=notes.append)  # test images, all of them
    assert (alone.images, alone.loss) == (12, expected.loss)
    assert any("not the images that the run was trained on" in note for note in notes)
    assert again.evaluate((TEST[0][:1], TEST[1][:1])).images == 1
    mixed = tuple(np.concatenate([test, train[:5]]) for test, train in zip(TEST, TRAIN, strict=True))
    assert again.evaluate(mixed, tell=notes.append).images == 17
    assert notes[-1].endswith("not the images that the run was trained on, but 5 of them are among its test images")
    with pytest.raises(ReskerasError, match=r"y\[0\] is 3; there are 3 classes"):
        again.evaluate((TEST[0][:1], [3]))


def test_images_held_out_of_arrays_are_found_again(tmp_path):
    run = trained((TRAIN[0], TRAIN[1]), tmp_path / "run")
    test = run.folder.provenance()["data"]["test"]
    assert 0 < test < 24
    again, notes = reskeras.Run(run.path), []
    assert again.evaluate(TRAIN).images == test
    assert again.evaluate((TRAIN[0][::-1], TRAIN[1][::-1]), tell=notes.append).images == test  # in whatever order
    assert any("its images are in a different order" in note for note in notes)
    assert not [note for note in notes if "excluded" in note or "not the images" in note]


def test_training_goes_on_with_the_same_images_only(tmp_path):
    data = ((TRAIN[0], TRAIN[1]), TEST)
    whole = trained(data, tmp_path / "whole", epochs=2, schedule={"kind": "constant"})
    run = trained(data, tmp_path / "run", epochs=1, schedule={"kind": "constant"})
    before = (run.path / "metrics.jsonl").read_bytes()

    def resumed(train, **options):
        return trained(
            reskeras.source(train, TEST, **options), run.path, epochs=2, resume=True, schedule={"kind": "constant"}
        )

    changed = TRAIN[0].copy()
    changed[5, 0, 0, 0] ^= 1
    for train, options, told in (
        ((changed, TRAIN[1]), {}, "the data of .* has changed"),
        ((TRAIN[0][::-1], TRAIN[1][::-1]), {}, "its images are in a different order"),
        (TRAIN, {"classes": CLASSES}, "classes have different names"),
        (TRAIN, {"name": "cats"}, "data: 'arrays' -> 'cats'|'cats'"),
    ):
        with pytest.raises(ReskerasError, match=told) as caught:
            resumed(train, **options)
        assert caught.value.status == 2
    assert (run.path / "metrics.jsonl").read_bytes() == before
    assert resumed(TRAIN).folder.provenance()["trained_sha256"] == whole.folder.provenance()["trained_sha256"]


def test_more_epochs_of_a_schedule_relative_to_the_whole_name_the_call(of_arrays):
    with pytest.raises(ReskerasError, match=r"reskeras\.train\(\.\.\., start='.*', recipe=.*, epochs=1, out="):
        trained(reskeras.source((TRAIN, TEST), classes=CLASSES), of_arrays.path, epochs=2, resume=True)


def test_a_source_that_nothing_opens_again_is_given_again_too(tmp_path):
    from dataclasses import replace

    own = replace(reskeras.source((TRAIN, TEST)), name="my-own", given="")
    run = trained(own, tmp_path / "run")
    with pytest.raises(ReskerasError, match="trained on my-own, given in Python"):
        reskeras.Run(run.path).evaluate()
    assert reskeras.Run(run.path).evaluate(own).images == 12


def test_images_that_are_called_like_a_source_are_not_taken_for_it(tmp_path):
    grey = (TRAIN[0][..., :1], TRAIN[1])
    net = reskeras.network(**{**NETWORK, "input_shape": [12, 12, 1]})
    run = reskeras.train(net, reskeras.source(grey, name="digits"), epochs=1, out=tmp_path / "run")
    again = reskeras.Run(run.path)
    with pytest.raises(ReskerasError, match="was trained on digits, given in Python"):
        again.evaluate()
    with pytest.raises(ReskerasError, match="class of digits: '3' is not one of 0, 1, 2"):
        again.evaluate("digits")


def test_a_named_source_handed_over_is_opened_by_its_name_later(tmp_path):
    net = reskeras.network(**{**NETWORK, "input_shape": [12, 12, 1]})
    run = reskeras.train(net, reskeras.source("digits@100"), epochs=1, out=tmp_path / "run")
    assert reskeras.Run(run.path).evaluate().images == 359
    assert reskeras.Run(run.path).evaluate(reskeras.source("digits@100")).images == 359


@pytest.mark.slow
def test_every_room_takes_them(of_arrays, tmp_path):
    data = ((TRAIN[0], TRAIN[1]), TEST)
    again = reskeras.Run(of_arrays.path)
    assert again.analyse(data, images=8, lesions=0).images
    proofs = again.export("tflite", "tflite-int8", data=data, timing=False)
    assert [proof.kind for proof in proofs] == ["tflite", "tflite-int8"]
    tiny = reskeras.network(**NETWORK)
    assert reskeras.analyse_fresh(tiny, data, images=8).images
    model = reskeras.HyperModel(SPACE, tiny, data, epochs=1)
    assert model.source.train.count == 48
    assert reskeras.doctor(data, tiny).speed.images == 48
    search = reskeras.tune(SPACE, tiny, data, tuner="grid", epochs=1, trials=1, out=tmp_path / "search")
    assert search.asked().data == "arrays" and search.ranked()
    changed = ((TRAIN[0], TRAIN[1]), (TEST[0][:-1], TEST[1][:-1]))
    with pytest.raises(ReskerasError, match="another search"):
        reskeras.tune(SPACE, tiny, changed, tuner="grid", epochs=1, trials=1, out=tmp_path / "search")
    found = reskeras.prepare_data(data, tmp_path / "sets", name="mine")
    assert found.images == {"train": 48, "test": 12}


def test_images_in_memory_are_predicted_as_their_files_are(of_arrays, kinds, tmp_path):
    files = [
        f"{split.partition(':')[2]}/test/{name}/{number:03}.png"
        for split in [kinds["folder"][0]]
        for number, name in enumerate(np.array(CLASSES)[TEST[1]])
    ]
    expected = of_arrays.predict(files, top=3)
    for images in (TEST[0], TEST[0] / 255, TEST[0].astype(np.float32)):
        found = of_arrays.predict(images, top=3)
        assert [each.top for each in found] == [each.top for each in expected]
    assert [each.path for each in found] == [f"image {number}" for number in range(12)]
    with pytest.raises(ReskerasError, match=r"images\[0\] has a pixel -1"):
        of_arrays.predict(TEST[0] * 0.0 - 1)
    with pytest.raises(ReskerasError, match="predict: takes files or an array of images; evaluate takes datasets"):
        of_arrays.predict(tf.data.Dataset.from_tensor_slices(TEST))


def test_a_detector_refuses_them(tmp_path):
    with pytest.raises(
        ReskerasError, match=r"a detector is trained on a source with a name: digits-boxes, digits-loc, voc:PATH"
    ) as caught:
        reskeras.train_detector(reskeras.detector("resnet-18"), (TRAIN, TEST), out=tmp_path / "run")
    assert caught.value.status == 2 and not (tmp_path / "run").exists()


def test_nothing_is_written_for_data_that_is_refused(tmp_path):
    for wrong in ((TRAIN[0], TRAIN[1][:-1]), (TRAIN[0] / 200, TRAIN[1]), 5, None):
        with pytest.raises(ReskerasError) as caught:
            trained(wrong, tmp_path / "run")
        assert caught.value.status == 2 and str(caught.value).startswith("data: ")
    assert not list(tmp_path.iterdir())


def test_numbers_of_several_classes_reach_the_run(tmp_path):
    several = np.stack([TRAIN[1] == 0, TRAIN[1] >= 0], axis=1).astype(np.uint8)
    assert reskeras.source((TRAIN[0], several)).multi_label
