"""Average precision against scikit-learn's: on the device, in batches and replicas, and of a whole evaluation."""

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from reskeras.data.preprocessing import Preprocessing
from reskeras.evaluation.multilabel import LabelEvaluation, evaluate_labels, mean_average_precision
from reskeras.training.metrics import MeanAveragePrecision
from tests.tasks.multilabel.pairs import open_pairs


def scores(rows=400, classes=6, seed=0, spread=2.0):
    """Labels uint8 and logits float32 that tell something of them."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((rows, classes)) < rng.uniform(0.05, 0.6, classes)).astype(np.uint8)
    return labels, (rng.normal(0, spread, labels.shape) + labels - 0.5 * spread).astype(np.float32)


@pytest.mark.parametrize("spread", [0.2, 2.0, 30.0])
def test_the_metric_is_scikit_learns_average_precision(spread):
    labels, logits = scores(spread=spread)
    metric = MeanAveragePrecision(6)
    for rows in np.array_split(np.arange(400), 7):
        metric.update_state(labels[rows].astype(np.float32), logits[rows])
    assert float(metric.result()) == pytest.approx(average_precision_score(labels, logits, average="macro"), abs=5e-3)
    metric.reset_state()
    assert float(metric.result()) == 0


def test_classes_that_no_image_has_do_not_count():
    labels, logits = scores()
    labels[:, 2] = 0
    kept = [0, 1, 3, 4, 5]
    metric = MeanAveragePrecision(6)
    metric.update_state(labels.astype(np.float32), logits)
    expected = average_precision_score(labels[:, kept], logits[:, kept], average="macro")
    assert float(metric.result()) == pytest.approx(expected, abs=5e-3)
    assert mean_average_precision(labels, logits) == pytest.approx(expected)
    assert np.isnan(mean_average_precision(labels * 0, logits))


def test_smoothed_labels_count_as_what_they_were():
    labels, logits = scores(rows=100)
    hard, soft = MeanAveragePrecision(6), MeanAveragePrecision(6)
    hard.update_state(labels.astype(np.float32), logits)
    soft.update_state(0.8 * labels.astype(np.float32) + 0.1, logits)
    assert float(soft.result()) == float(hard.result())


def test_xla_computes_it():
    labels, logits = scores()
    metrics = MeanAveragePrecision(6), MeanAveragePrecision(6)
    metrics[0].update_state(labels.astype(np.float32), logits)
    tf.function(metrics[1].update_state, jit_compile=True)(tf.constant(labels, tf.float32), tf.constant(logits))
    assert float(metrics[1].result()) == pytest.approx(float(metrics[0].result()), rel=1e-6)


def test_an_evaluation_is_scikit_learns(labelled):
    found = labelled.evaluate()
    source, run = open_pairs(2000), labelled.model()
    images, labels = source.test.decode(tf.range(400, dtype=tf.int64))
    resized = tf.stack([labelled.preprocessing().fit_image(image) for image in images])
    logits = run(labelled.preprocessing().normalise(resized), training=False).numpy().astype(np.float64)
    labels, sure = labels.numpy(), 1 / (1 + np.exp(-logits))
    assert found.mean_average_precision == pytest.approx(
        average_precision_score(labels, sure, average="macro"), rel=1e-6
    )
    assert found.loss == pytest.approx(-np.where(labels, np.log(sure), np.log(1 - sure)).mean(), rel=1e-5)
    table = precision_recall_fscore_support(labels, sure >= 0.5)
    for index, each in enumerate(found.figures):
        assert (each.precision, each.recall, each.f1) == pytest.approx([table[part][index] for part in range(3)])
        assert (each.images, each.predicted) == (table[3][index], (sure[:, index] >= 0.5).sum())
    assert found.macro_f1 == pytest.approx(table[2].mean())
    assert found.micro_f1 == pytest.approx(precision_recall_fscore_support(labels, sure >= 0.5, average="micro")[2])
    assert found.exact == pytest.approx(((sure >= 0.5) == labels).all(axis=1).mean())
    np.testing.assert_allclose(found.losses().mean(), found.loss, rtol=1e-4)


def test_several_views_average_probabilities(labelled):
    single, ten = labelled.evaluate(), labelled.evaluate(views=10)
    assert ten.views == "10 views"
    assert not np.allclose(single.probabilities, ten.probabilities)
    assert abs(single.probabilities - ten.probabilities).mean() < 0.2
    whole = labelled.evaluate(scales=(16,))
    # at the network's own size the whole image is its one view, beside its mirror image
    assert whole.probabilities.shape == single.probabilities.shape and np.isfinite(whole.loss)


def test_a_network_of_nan_is_undefined_and_finds_nothing():
    inputs = keras.Input((8, 16, 1))
    model = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(inputs)))
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    source = open_pairs(50)
    found = evaluate_labels(model, source.test, Preprocessing.fit(source.train, 8, 16, 1, "scale"), "pairs")
    assert found.undefined == 400 and not found.predicted.any()
    assert {each.recall for each in found.figures} == {0.0} and {each.precision for each in found.figures} == {None}


def test_predictions_as_csv_and_plain_data(tmp_path):
    labels = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]], np.uint8)
    sure = np.array([[0.9, 0.2, 0.6], [0.1, 0.2, 0.3], [0.7, 0.4, 0.0]])
    found = LabelEvaluation(
        "d", "test", 3, 0.5, classes=("a", "b", "c,"), labels=labels, probabilities=sure, names=("x", "y", "z")
    )
    found.save_predictions(tmp_path / "p.csv")
    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    assert [(row["classes"], row["predicted"]) for row in rows] == [("a|c,", "a|c,"), ("", ""), ("b", "a")]
    assert float(rows[2]["b"]) == 0.4 and rows[2]["image"] == "z"
    plain = found.as_dict()
    assert plain["classes"]["a"] == {
        "images": 1,
        "predicted": 2,
        "average_precision": 1.0,
        "precision": 0.5,
        "recall": 1.0,
        "f1": pytest.approx(2 / 3),
    }
    assert plain["exact"] == pytest.approx(2 / 3) and plain["micro_f1"] == pytest.approx(4 / 6)
