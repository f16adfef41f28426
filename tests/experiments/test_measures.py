"""What a suite measures: errors on the images as they are and by epoch, what is inside, counts of what was trained."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import reskeras
from reskeras.analysis.lesions import Lesion
from reskeras.experiments.measures import MEASURED, MEASURES, figures_of
from reskeras.experiments.suite import read_suite
from reskeras.experiments.suite_rows import rows_of
from reskeras.experiments.suite_views import ViewsSpec


@pytest.mark.slow
def test_parameters_and_multiply_adds_are_those_of_the_network_as_it_was_trained(tmp_path):
    suite = tmp_path / "mine.yaml"
    suite.write_text(
        "title: t\nsource: s\nexpects: e\nmeasures: [test_error, parameters, multiply_adds]\n"
        "protocol: cifar\nrows: [{row: small, network: {family: cifar, depth: 8, width_factor: 0.25}}]\n"
    )
    result = reskeras.reproduce(suite, "smoke", out=tmp_path / "out")
    [row] = result.rows
    run = reskeras.Run(row.runs[0])
    assert run.folder.spec().input_shape[-1] == 1  # digits are grey; the row's network alone would be for colours
    model = run.model()
    assert row.figures[0]["parameters"] == sum(weight.numpy().size for weight in model.trainable_weights)
    assert row.figures[0]["multiply_adds"] == reskeras.plan(run.path).complexity().multiply_adds


@pytest.mark.parametrize(("epochs", "early"), [(1, 1), (3, 1), (4, 1), (8, 2), (20, 5), (164, 41)])
def test_the_early_error_is_the_mean_of_the_first_quarter(epochs, early):
    rng = np.random.default_rng(epochs)
    rows = [{"accuracy": one, "val_accuracy": other} for one, other in rng.uniform(0, 1, (epochs, 2)).tolist()]
    run = SimpleNamespace(folder=SimpleNamespace(metrics=lambda: rows))
    found = MEASURED["early_error"](None, run)
    errors = [1 - row["val_accuracy"] for row in rows]
    assert found["early_error"] == pytest.approx(np.mean(errors[:early]))


def test_minutes_are_those_of_the_epochs():
    run = SimpleNamespace(folder=SimpleNamespace(metrics=lambda: [{"seconds": 90.0}, {"seconds": 45.0}]))
    assert MEASURED["minutes"](None, run) == {"minutes": 2.25}
    assert MEASURES["minutes"].shown(44.06) == "44.1"


def test_the_training_error_is_that_of_the_images_as_they_are(tmp_path):
    place = tmp_path / "run"
    network = reskeras.network(family="cifar", depth=8, width_factor=0.25)
    reskeras.train(network, "digits@120", "quick", epochs=1, holdout=0, out=place)
    run = reskeras.Run(place)
    suite = read_suite("v1-figure-6")
    [row] = rows_of(suite, "smoke", ["resnet-20"])
    found = figures_of(row, run, ("training_error", "test_error", "gap", "best_error"))
    assert found.figures["best_error"] <= found.figures["test_error"]  # also where the training was less precise
    assert found.figures["best_error"] == min(found.figures["test_error"], 1 - run.folder.metrics()[0]["val_accuracy"])
    in_six = replace(row, views=ViewsSpec(views=6))
    other = figures_of(in_six, run, ("gap", "test_error", "training_error")).figures
    assert other["test_error"] == 1 - run.evaluate(views=6).top1
    assert other["gap"] == other["test_error"] - other["training_error"]
    whole = {split: run.evaluate(split=split) for split in ("train", "test")}
    assert found.figures["training_error"] == 1 - whole["train"].top1 != 1 - run.folder.metrics()[-1]["accuracy"]
    assert found.figures["gap"] == pytest.approx(whole["train"].top1 - whole["test"].top1)
    for split, result in whole.items():
        assert (found.right[split].right() == result.right).all()
        assert result.right.mean() == pytest.approx(result.top1)
    assert figures_of(row, run, ("test_error", "gap")) == figures_of(row, run, ("gap", "test_error"))


def test_what_is_measured_inside_is_the_mean_response_and_the_median_error_of_a_unit_removed():
    lesions = [Lesion("removed", ("a",), accuracy) for accuracy in (0.9, 0.2, 0.6)]
    lesions += [Lesion("swapped", ("a", "b"), accuracy) for accuracy in (0.1, 0.0, 0.3)]
    found = SimpleNamespace(responses=[SimpleNamespace(deviation=each) for each in (1.0, 2.0, 6.0)], lesions=lesions)
    run = SimpleNamespace(analyse=lambda: found)
    assert MEASURED["response"](None, run) == pytest.approx({"response": 3.0, "removed_error": 0.4})
    found.lesions = lesions[3:]
    assert MEASURED["removed_error"](None, run)["removed_error"] is None


def test_test_errors_in_other_views_are_other_figures(tmp_path):
    spec, asked = reskeras.network("cifar-resnet-20"), []

    def evaluate(views, resize, scales):
        asked.append(views)
        right, labels = np.ones(3, bool), np.zeros(3, np.int32)
        return SimpleNamespace(top1=0.5 + views / 100, top5=None, right=right, labels=labels)

    run = SimpleNamespace(
        path=tmp_path, folder=SimpleNamespace(spec=lambda: spec), plan=spec.lower(), evaluate=evaluate
    )
    for views in (1, 10, 1, 10):
        row = SimpleNamespace(views=ViewsSpec(views=views))
        found = figures_of(row, run, ("test_error", "top5_error"))
        assert found.figures == pytest.approx({"test_error": 0.5 - views / 100})
    assert asked == [1, 10]  # what is known is not measured again
