"""What a suite's figures mean: findings that hold, do not, or are undecided; counts of what was trained."""

from types import SimpleNamespace

import numpy as np
import pytest

import reskeras
from reskeras.analysis.lesions import Lesion
from reskeras.documents.validation import validated
from reskeras.experiments.measures import MEASURED, figures_of
from reskeras.experiments.results import RowResult, SuiteResult
from reskeras.experiments.suite import SuiteSpec, ViewsSpec

SUITE = validated(
    SuiteSpec,
    {
        "title": "t",
        "source": "s",
        "expects": "e",
        "measures": ["test_error", "response", "parameters"],
        "protocol": "cifar",
        "rows": [{"row": "a", "network": "cifar-resnet-20"}, {"row": "b", "network": "cifar-resnet-32"}],
        "findings": [{"less": "a", "more": "b", "by": "test_error", "says": "a is better."}],
    },
)


def outcome(a, b):
    """What is found of the test errors of rows a and b, one for each seed."""
    rows = [
        RowResult(
            name,
            {},
            figures={seed: {"test_error": error} for seed, error in enumerate(errors)},
            runs={seed: f"{name}-{seed}" for seed in range(len(errors))},
        )
        for name, errors in (("a", a), ("b", b))
    ]
    [(says, came)] = SuiteResult("mine", SUITE, "short", rows).findings()
    assert says == "a is better."
    return came


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ([0.05], [0.06], "yes: test error 5.00% (a), 6.00% (b), one run each"),
        ([0.06], [0.05], "no: test error 6.00% (a), 5.00% (b), one run each"),
        ([0.9167], [0.9167], "undecided: equal, test error 91.67% (a), 91.67% (b), one run each"),
        ([0.91671], [0.91669], "undecided: equal, test error 91.67% (a), 91.67% (b)"),
        ([0.05, 0.051, 0.049], [0.08, 0.081, 0.079], "yes: test error 5.00% (a), 8.00% (b), medians of 3 runs"),
        ([0.08, 0.081, 0.079], [0.05, 0.051, 0.049], "no: test error 8.00% (a)"),
        (
            [0.04, 0.05, 0.09],
            [0.03, 0.06, 0.12],
            "undecided: the difference is within the spread of the runs, test error",
        ),
        (
            [0.03, 0.06, 0.12],
            [0.04, 0.05, 0.09],
            "undecided: the difference is within the spread of the runs, test error",
        ),
        # 1.4 and 2.1 times the standard error of the difference
        ([0.05, 0.07], [0.07, 0.09], "undecided: the difference is within the spread of the runs, test error"),
        ([0.05, 0.07], [0.08, 0.10], "yes: test error 6.00% (a), 9.00% (b), medians of 2 runs"),
    ],
)
def test_a_finding_is_yes_no_or_undecided(a, b, verdict):
    assert outcome(a, b).startswith(verdict)


def test_more_runs_decide_what_few_leave_open():
    few = outcome([0.05, 0.07], [0.06, 0.08])
    many = outcome([0.05, 0.07] * 20, [0.06, 0.08] * 20)
    assert few.startswith("undecided") and many.startswith("yes")


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
def test_errors_of_the_curves_are_early_in_the_first_quarter_and_late_in_the_last_epoch(epochs, early):
    rng = np.random.default_rng(epochs)
    rows = [{"accuracy": one, "val_accuracy": other} for one, other in rng.uniform(0, 1, (epochs, 2)).tolist()]
    run = SimpleNamespace(folder=SimpleNamespace(metrics=lambda: rows))
    found = MEASURED["early_error"](None, run)
    assert found["early_error"] == pytest.approx(1 - np.mean([row["val_accuracy"] for row in rows[:early]]))
    assert found["training_error"] == pytest.approx(1 - rows[-1]["accuracy"])
    assert found["gap"] == pytest.approx((1 - rows[-1]["val_accuracy"]) - (1 - rows[-1]["accuracy"]))


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
        return SimpleNamespace(top1=0.5 + views / 100, top5=None)

    run = SimpleNamespace(
        path=tmp_path, folder=SimpleNamespace(spec=lambda: spec), plan=spec.lower(), evaluate=evaluate
    )
    for views in (1, 10, 1, 10):
        row = SimpleNamespace(views=ViewsSpec(views=views))
        found = figures_of(row, run, ("test_error", "top5_error"))
        assert found == pytest.approx({"test_error": 0.5 - views / 100})
    assert asked == [1, 10]  # what is known is not measured again
