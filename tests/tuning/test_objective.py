"""Objectives: names, directions, sums, and the best epoch."""

import pytest

from reskeras import ReskerasError
from reskeras.tuning.objective import read_objective

ROWS = [
    {"epoch": 1, "val_accuracy": 0.5, "val_loss": 1.0},
    {"epoch": 2, "val_accuracy": 0.7, "val_loss": 0.9},
    {"epoch": 3, "val_accuracy": 0.7, "val_loss": 0.8},
]


@pytest.mark.parametrize(
    "texts, said",
    [
        (["val_f1"], "objective: 'val_f1' is not one of val_accuracy, val_average_precision, val_localised"),
        (["val_acuracy"], "did you mean val_accuracy"),
        (["val_loss:less"], "objective: val_loss: 'less' is not one of min, max"),
        (["val_loss:min:big"], "the weight should be a number above 0, as in val_loss:min:0.5"),
        (["val_loss:min:-1"], "the weight should be a number above 0"),
        (["val_loss", "val_loss:min:2"], "val_loss is given twice"),
    ],
)
def test_objectives_that_no_trial_has_are_refused(texts, said):
    with pytest.raises(ReskerasError) as caught:
        read_objective(texts)
    assert said in str(caught.value)


def test_one_objective_is_the_figure_itself():
    default = read_objective([])
    assert (default.name, default.direction) == ("val_accuracy", "max")
    assert default.best_epoch(ROWS)["epoch"] == 2
    assert read_objective(["val_loss"]).best_epoch(ROWS)["epoch"] == 3
    assert read_objective(["val_loss:max"]).best_epoch(ROWS)["epoch"] == 1
    assert default.value({"val_accuracy": 0.7}, {}) == 0.7


def test_several_are_a_weighted_sum_in_which_costs_are_multiples_of_the_base():
    both = read_objective(["val_accuracy", "multiply_adds:min:0.1"])
    assert (both.name, both.direction, str(both)) == ("objective", "min", "val_accuracy:max + multiply_adds:min:0.1")
    value = both.value({"val_accuracy": 0.9, "multiply_adds": 30.0}, {"multiply_adds": 20.0})
    assert value == pytest.approx(-0.9 + 0.1 * 1.5)
    assert both.best_epoch(ROWS)["epoch"] == 2
    heavier = read_objective(["val_accuracy:max:3", "val_loss:max", "parameters:min:0.5"])
    value = heavier.value({"val_accuracy": 0.5, "val_loss": 2.0, "parameters": 30.0}, {"parameters": 20.0})
    assert value == pytest.approx(-3 * 0.5 - 2.0 + 0.5 * 1.5)
