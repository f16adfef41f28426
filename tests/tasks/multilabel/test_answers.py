"""What a multi-label run gives: predictions above a threshold, artefacts with independent probabilities, its page."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from huggingface_hub import ModelCard
from PIL import Image

import reskeras
from reskeras.analysis.analysis import analyse
from reskeras.analysis.tapped import told_right
from reskeras.client import Client
from reskeras.errors import ReskerasError
from reskeras.export.proof import prove, prove_labels
from reskeras.graph.weights import read
from tests.cli.running import printed, refused
from tests.export.stub import Stub
from tests.tasks.multilabel.pairs import open_pairs
from tests.tasks.multilabel.test_metrics import scores


@pytest.fixture(scope="module")
def exported(labelled, tmp_path_factory):
    """The run with artefacts, and what the export printed."""
    path = shutil.copytree(labelled.path, tmp_path_factory.mktemp("exported") / "pairs")
    told = printed("export", path, "--to", "serving", "--to", "tflite", "--to", "tflite-int8", "--no-timing")
    return reskeras.Run(path), told


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Twelve test images as files, and their labels."""
    folder = tmp_path_factory.mktemp("images")
    images, labels = open_pairs(64).test.decode(tf.range(12, dtype=tf.int64))
    for index, image in enumerate(images.numpy()):
        Image.fromarray(image[..., 0]).save(folder / f"{index:02d}.png")
    return sorted(folder.iterdir()), labels.numpy()


def pixels(run, count=40):
    images, _ = open_pairs(64).test.decode(tf.range(count, dtype=tf.int64))
    return np.stack([run.preprocessing().fit_image(image).numpy() for image in images])


def independent(run, images):
    """The sigmoids of the Keras model's logits."""
    logits = run.model()(run.preprocessing().normalise(images), training=False).numpy()
    return 1 / (1 + np.exp(-logits))


def test_every_artefact_agrees_by_its_labels(exported):
    run, told = exported
    proofs = run.proofs()
    assert [proof.kind for proof in proofs] == ["serving", "tflite", "tflite-int8"]
    for proof in proofs:
        assert proof.holds and proof.accuracy_of == "mAP" and proof.agreement > 0.95
        assert proof.keras_accuracy == pytest.approx(run.evaluate().mean_average_precision, rel=1e-3)
        assert proof.accuracy == pytest.approx(proof.keras_accuracy, abs=0.01)
    assert "mAP" in told and "agreement" in told and "top-1" not in told


def test_the_served_model_gives_independent_probabilities_and_names(exported, files):
    run, _ = exported
    [version] = (run.folder.export_folder / run.name).iterdir()
    signatures = tf.saved_model.load(version).signatures
    images = pixels(run)
    found = signatures["serving_default"](images=tf.constant(images))["probabilities"].numpy()
    np.testing.assert_allclose(found, independent(run, images), atol=1e-5)
    assert (found.sum(axis=1) > 1.5).any()
    names = signatures["bytes"](image_bytes=tf.constant([file.read_bytes() for file in files[0]]))
    assert names["classes"].shape == (12, 10)  # all of them: a client picks by its own threshold
    assert (np.diff(names["probabilities"], axis=1) <= 0).all()


def test_the_tflite_gives_the_same(exported):
    run, _ = exported
    path = run.folder.export_folder / f"{run.name}.tflite"
    images = pixels(run).astype(np.float32)
    answer = Interpreter(str(path)).get_signature_runner("serving_default")(images=images)
    np.testing.assert_allclose(answer["probabilities"], independent(run, images), atol=1e-5)
    assert json.loads(path.with_suffix(".json").read_text())["inside"][-1] == "sigmoid"


def test_labels_prove_what_top_classes_do_not():
    labels, logits = scores(rows=60)
    same = prove_labels("k", "p", 1, logits, logits, labels)
    assert (same.difference, same.agreement, same.accuracy) == (0, 1, same.keras_accuracy)
    changed = logits.copy()
    worst = np.argsort(-logits.max(axis=1))[:3]
    changed[:, 0] = -changed[:, 0]
    other = prove_labels("k", "p", 1, changed, logits, labels)
    given, kept = logits > 0, changed > 0
    assert other.agreement == pytest.approx((given & kept).sum() / (given | kept).sum()) and other.agreement < 0.95
    assert other.accuracy < other.keras_accuracy
    broken = logits.copy()
    broken[worst] = np.nan
    spoiled = prove_labels("k", "p", 1, broken, logits, labels)
    assert np.isinf(spoiled.difference) and spoiled.agreement < 1
    assert prove("k", "p", 1, logits, logits, labels.argmax(axis=1)).accuracy_of == "top-1"


def test_predict_lists_the_classes_above_a_threshold(labelled, files):
    paths, labels = files
    found = labelled.predict(paths)
    names = np.array(labelled.folder.classes())
    right = [set(names[label > 0]) == {name for name, _ in each.top} for each, label in zip(found, labels, strict=True)]
    assert np.mean(right) > 0.7
    assert all(share >= 0.5 for each in found for _, share in each.top)
    assert [len(each.top) for each in labelled.predict(paths, threshold=0.0)] == [10] * 12
    assert [len(each.top) for each in labelled.predict(paths, top=1, threshold=0.0)] == [1] * 12
    whole = json.loads(printed("predict", labelled.path, *paths, "--json"))
    assert [len(each["top"]) for each in whole] == [len(each.top) for each in found]


def test_an_image_of_no_class_is_told(labelled, files, tmp_path):
    two = files[0][:2]
    told = printed("predict", labelled.path, *two, "--threshold", "1.0", "--csv", tmp_path / "p.csv")
    assert [line.split()[1:] for line in told.splitlines()[1:3]] == [["none"], ["none"]]
    rows = list(csv.reader((tmp_path / "p.csv").open()))
    assert rows[1:] == [[str(file), "", "", ""] for file in two]


def test_a_threshold_is_for_other_runs_too(trained, files):
    [found] = trained.predict(files[0][0], threshold=0.3)
    assert len(found.top) <= 3 and all(share >= 0.3 for _, share in found.top)


def test_a_server_names_all_classes_and_the_client_picks(exported, files):
    run, _ = exported
    [version] = (run.folder.export_folder / run.name).iterdir()
    with Stub(tf.saved_model.load(version)) as server:
        found = Client(server.url).predict(files[0], threshold=0.5)
        own = run.predict(files[0])
        assert [[name for name, _ in each.top] for each in found] == [[name for name, _ in each.top] for each in own]
        assert len(Client(server.url).predict(files[0][0])[0].top) == 5
        assert "none" in printed("predict", "--url", server.url, files[0][0], "--threshold", "1")


def test_evaluate_prints_and_writes_the_figures(labelled, tmp_path):
    told = printed("evaluate", labelled.path, "--classes", "--predictions", tmp_path / "p.csv")
    assert "mAP" in told and "binary cross-entropy" in told and "average precision" in told and "seven" in told
    assert len(list(csv.DictReader((tmp_path / "p.csv").open()))) == 400
    guide = (Path(__file__).parents[3] / "docs" / "guides" / "multilabel.md").read_text("utf-8")
    for line in told.splitlines()[1:5]:  # as the guide shows them, but for the numbers
        assert re.sub(r"[\d.]+", "0", line) in re.sub(r"[\d.]+", "0", guide)
    plain = json.loads(printed("evaluate", labelled.path, "--json"))
    assert plain["mean_average_precision"] > 0.95 and set(plain["classes"]) == set(labelled.folder.classes())
    assert "10 views" in printed("evaluate", labelled.path, "--views", "10")


def test_the_page_has_figures_of_each_class_and_the_worst_mistakes(labelled, trained, tmp_path):
    page = reskeras.write_report(labelled.path, out=tmp_path / "page.html").read_text()
    for text in ("test mAP", "average precision", "Worst mistakes", "predicted", "1 - mAP", "seven"):
        assert text in page
    assert "Confusion" not in page
    card, found = ModelCard.load(labelled.path / "README.md"), labelled.evaluate()
    figures = {each.metric_type: each for each in card.data.eval_results}
    low, high = figures["map"].metric_args["interval"]
    assert figures["map"].metric_value == found.mean_average_precision and low < found.mean_average_precision < high
    assert (figures["f1_micro"].metric_value, figures["exact_match"].metric_value) == (found.micro_f1, found.exact)
    assert f"| {found.figures[0].name} | {found.figures[0].images} |" in card.text
    assert "a multi-label classifier" in refused("report", labelled.path, trained.path, "--out", tmp_path / "both.html")


def test_an_analysis_counts_labels_that_are_right(labelled):
    logits, labels = tf.constant([[1.0, -1.0], [2.0, 3.0]]), tf.constant([[1, 1], [0, 1]], tf.uint8)
    assert told_right(logits, labels).numpy().tolist() == [[1, 0], [0, 1]]
    found = labelled.evaluate()
    right = (found.predicted == (found.labels > 0)).mean()
    analysis = analyse("n", labelled.plan, read(labelled.model()), labelled.source(), labelled.preprocessing(), 400, 2)
    assert analysis.accuracy == pytest.approx(right, abs=1e-3)
    assert all(lesion.accuracy < analysis.accuracy for lesion in analysis.lesions)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"threshold": float("nan")}, "threshold: nan: should be at least 0 and at most 1"),
        ({"threshold": 1.5}, "threshold: 1.5: should be"),
        ({"top": 0}, "top: 0: should be at least 1"),
    ],
)
def test_limits_that_leave_nothing_are_refused(labelled, limits, told):
    with pytest.raises(ReskerasError, match=told):
        labelled.predict(np.zeros((1, 16, 32), np.uint8), **limits)
