"""Accuracy of each class and the confusion matrix against scikit-learn, and what is written of them."""

import csv
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.metrics import top_k_accuracy_score

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Split
from reskeras.errors import ReskerasError
from reskeras.evaluation.accuracy import Evaluation, evaluate
from reskeras.tasks.classification.confusion_plot import save_confusion


@pytest.fixture(scope="module")
def result(trained):
    return trained.evaluate()


def test_rows_of_the_confusion_matrix_are_the_true_classes(result):
    table = result.confusion()
    assert table.sum() == 359
    assert np.array_equal(table.sum(axis=1), np.bincount(result.labels, minlength=10))
    assert np.trace(table) / 359 == pytest.approx(result.top1)
    for name, images, accuracy in result.by_class():
        of_class = result.labels == int(name)
        assert (images, accuracy) == (of_class.sum(), pytest.approx((result.predicted[of_class] == int(name)).mean()))
    [(true, taken, count), *_] = result.most_confused()
    assert count == max(table[row, column] for row in range(10) for column in range(10) if row != column)
    assert table[int(true), int(taken)] == count


def test_top_k_equals_scikit_learn():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(50, 12)).astype(np.float32), rng.integers(0, 12, 50)
    images = keras.Input((1, 1, 12))
    model = keras.Model(images, keras.layers.Flatten()(images))
    split = Split("test", 50, lambda index: (tf.zeros([1, 1, 12], tf.uint8), tf.constant(labels, tf.int32)[index]))
    plain = Preprocessing(1, 1, 12, "scale", np.ones(1, np.float32), np.ones(1, np.float32))
    chunks = [(logits[start : start + 16].astype(np.float64), labels[start : start + 16]) for start in range(0, 50, 16)]
    with mock.patch("reskeras.evaluation.accuracy.scored", return_value=iter(chunks)):
        result = evaluate(model, split, plain, "made up", classes=tuple("abcdefghijkl"))
    assert result.top1 == pytest.approx(top_k_accuracy_score(labels, logits, k=1))
    assert result.top5 == pytest.approx(top_k_accuracy_score(labels, logits, k=5))


@pytest.mark.parametrize(("classes", "top5"), [(5, None), (6, 0.75)])
def test_among_five_classes_nothing_is_outside_the_best_five(classes, top5):
    logits, labels = np.log(np.eye(classes)[[0, 1, 2, 0]] + 1e-3), np.array([0, 1, 0, classes - 1])
    logits[3, -1] = -9  # the last of all
    logits -= np.arange(classes) / 1e3  # no ties
    split = Split("test", 4, lambda index: (tf.zeros([1, 1, classes], tf.uint8), tf.constant(labels)[index]))
    with mock.patch("reskeras.evaluation.accuracy.scored", return_value=iter([(logits, labels)])):
        result = evaluate(None, split, None, "made up", classes=tuple("abcdef"[:classes]))
    assert (result.top1, result.top5) == (0.5, top5)


def test_the_matrix_is_written_as_csv_and_drawn(result, tmp_path):
    save_confusion(result, tmp_path / "confusion.csv")
    rows = list(csv.reader((tmp_path / "confusion.csv").read_text().splitlines()))
    assert rows[0] == ["class", *"0123456789"]
    assert np.array_equal(np.array([row[1:] for row in rows[1:]], int), result.confusion())
    save_confusion(result, tmp_path / "confusion.png")
    assert min(Image.open(tmp_path / "confusion.png").size) > 500
    save_confusion(result, tmp_path / "confusion.svg")
    assert "<svg" in (tmp_path / "confusion.svg").read_text()
    with pytest.raises(ReskerasError, match=r"should end in \.png, \.svg or \.csv"):
        save_confusion(result, tmp_path / "confusion.gif")


def test_predictions_have_a_line_for_each_image(result, tmp_path):
    result.save_predictions(tmp_path / "each.csv")
    rows = list(csv.DictReader((tmp_path / "each.csv").read_text().splitlines()))
    assert len(rows) == 359
    assert np.mean([row["class"] == row["predicted"] for row in rows]) == pytest.approx(result.top1)
    assert all(0 < float(row["probability"]) <= 1 for row in rows)


def test_images_without_a_finite_score_count_as_wrong():
    logs = np.log(np.array([[0.7, 0.3], [0.2, 0.8], [np.nan, np.nan]]))
    split = Split("test", 3, None)
    with mock.patch("reskeras.evaluation.accuracy.scored", return_value=iter([(logs, np.array([0, 0, 0]))])):
        found = evaluate(None, split, None, "made up", classes=("cat", "dog"))
    assert (found.undefined, found.top1) == (1, pytest.approx(1 / 3))


def test_a_class_without_images_has_no_accuracy():
    found = Evaluation(
        "made up",
        "test",
        2,
        0.1,
        0.5,
        None,
        classes=("cat", "dog", "owl"),
        labels=np.array([0, 1]),
        predicted=np.array([0, 2]),
        confidence=np.array([0.9, 0.8]),
    )
    assert found.by_class() == [("cat", 1, 1.0), ("dog", 1, 0.0), ("owl", 0, None)]
    assert found.most_confused() == [("dog", "owl", 1)]
