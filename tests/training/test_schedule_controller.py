"""Recipes' learning rates at chosen iterations, and what is decided while training."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

import reskeras
from reskeras.documents.shipped import shipped_names
from reskeras.recipes.recipe import recipe
from reskeras.tasks.classification.subject import ACCURACY
from reskeras.training.callbacks import GradientLogger, Patience
from reskeras.training.epochs import pieces
from reskeras.training.position import Position
from reskeras.training.schedule import RecipeSchedule
from reskeras.training.schedule_controller import ScheduleController


def rate(name, step, **fields):
    chosen = recipe(name, **fields)
    return float(RecipeSchedule(chosen, chosen.steps(391))(step))


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.1), (31_999, 0.1), (32_000, 0.01), (47_999, 0.01), (48_000, 0.001), (63_999, 0.001)]
)
def test_paper_cifar_drops_at_32000_and_48000(step, expected):
    assert rate("paper-cifar", step) == pytest.approx(expected)


def test_modern_cifar_is_one_cycle():
    chosen = recipe("modern-cifar")
    total = chosen.steps(390)
    peak = round(0.15 * total)
    rates = [float(RecipeSchedule(chosen, total)(step)) for step in (0, peak, total - 1)]
    assert rates[0] == pytest.approx(0.3 / peak)
    assert rates[1] == pytest.approx(0.3)
    assert rates[2] < 1e-4


def test_a_line_falls_evenly_to_nought():
    linear = {"kind": "linear", "warmup": 0.1}
    rates = [float(RecipeSchedule(recipe(schedule=linear, learning_rate=1.0), 100)(step)) for step in (10, 55, 100)]
    assert rates == pytest.approx([1.0, 0.5, 0.0])


@pytest.mark.parametrize("name", shipped_names("recipe"))
def test_every_shipped_recipe_is_whole(name):
    chosen = recipe(name)
    assert chosen.description
    assert chosen.steps(100) > 0


def test_who_asks_for_epochs_means_epochs():
    assert recipe("paper-cifar").steps(391) == 64_000
    assert recipe("paper-cifar", epochs=2).steps(391) == 782


def test_paper_cifar_ends_in_the_middle_of_an_epoch():
    position = Position(391, 64_000)
    assert position.epochs == 164
    assert list(pieces(position)) == [(0, 163, 391), (163, 164, 64_000 - 163 * 391)]
    position.epoch, position.step = 5, 100
    assert next(pieces(position)) == (5, 6, 291)
    position.epoch, position.step = 163, 200
    assert list(pieces(position)) == [(163, 164, 64_000 - 163 * 391 - 200)]
    position.epoch, position.step = 163, 0
    assert list(pieces(position)) == [(163, 164, 64_000 - 163 * 391)]
    position.epoch, position.step = 164, 0
    assert list(pieces(Position(10, 20))) == [(0, 2, 10)]


def course(name, layers, **fields):
    chosen = recipe(name, **fields)
    schedule, position = RecipeSchedule(chosen, chosen.steps(100)), Position(100, chosen.steps(100))
    made = ScheduleController(chosen, layers, schedule, position, ACCURACY)
    made.on_train_begin()
    return made, schedule, position


def test_110_layers_warm_up_until_the_training_error_is_below_80_percent():
    made, schedule, position = course("paper-cifar", 110)
    assert float(schedule(0)) == pytest.approx(0.01)
    hits = 0.0
    for step in range(1, 80):
        position.step = step
        hits += 0.1 if step < 60 else 0.5
        made.on_train_batch_end(step - 1, {"accuracy": hits / step})
        if step == 59:
            assert float(schedule(step)) == pytest.approx(0.01)
            assert made.error == pytest.approx(0.9, abs=0.02)
    assert float(schedule(80)) == pytest.approx(0.1)


def test_fewer_layers_do_not_warm_up():
    _, schedule, _ = course("paper-cifar", 56)
    assert float(schedule(0)) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("cifar-resnet-20", 20),
        ("cifar-resnet-110", 110),
        ("resnet-50", 50),
        ("plain-34", 34),
        ("cifar-preact-164", 164),
    ],
)
def test_a_plan_counts_its_layers_as_the_papers_do(name, layers):
    assert reskeras.plan(name).weighted_layers() == layers


def test_plateaus_divide_the_rate_and_their_state_survives():
    made, schedule, _ = course(
        "quick", 20, learning_rate=0.1, schedule={"kind": "plateau", "patience": 2, "factor": 0.1, "least": 0.01}
    )
    rates = []
    for accuracy in (0.5, 0.6, 0.605, 0.604, 0.7, 0.7, 0.7):
        made.on_epoch_end(0, {"val_accuracy": accuracy})
        rates.append(round(float(schedule(0)), 6))
    assert rates == [0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001]
    other, again, _ = course("quick", 20, learning_rate=0.1, schedule={"kind": "plateau", "factor": 0.1})
    other.restore(made.state())
    assert float(again(0)) == pytest.approx(0.001)
    assert SimpleNamespace(**other.state()) == SimpleNamespace(**made.state())


@pytest.mark.parametrize(("epochs", "ends"), [(1, 2), (2, 6), (3, 7)])
def test_patience_ends_after_as_many_epochs_as_it_has_that_are_not_better(epochs, ends):
    # better are the first, the third and, by its loss, the fourth; the second is as good as the first
    logs = [
        {"val_accuracy": accuracy, "val_loss": loss}
        for accuracy, loss in ((0.5, 1.0), (0.5, 1.0), (0.6, 1.0), (0.6, 0.9), (0.6, 0.9), (0.5, 0.1), (0.6, 0.95))
    ]
    patience = Patience(epochs, ACCURACY)
    patience.set_model(SimpleNamespace(stop_training=False))
    for epoch, log in enumerate(logs, 1):
        patience.on_epoch_end(epoch - 1, log)
        assert patience.model.stop_training is patience.over is (epoch >= ends)
        if patience.over:
            break
    assert epoch == ends
    resumed = Patience(epochs, ACCURACY)
    resumed.restore(patience.state())
    assert resumed.over


def test_an_epochs_gradient_norm_is_the_mean_over_its_steps_and_its_rate_that_of_the_last():
    norms, rates = iter([1.0, 2.0, 6.0, 5.0, 7.0]), iter([0.3, 0.1])
    optimizer = SimpleNamespace(gradient_norm=tf.Variable(0.0), last_rate=lambda: next(rates))
    position, logged = Position(3, 5), []  # the last epoch is shorter
    watch = GradientLogger(position)
    for epoch, steps in enumerate((3, 2)):
        for step in range(steps):
            watch, before = GradientLogger(position), watch.state()  # gone on with in the middle
            watch.restore(before)
            watch.set_model(SimpleNamespace(optimizer=optimizer))
            optimizer.gradient_norm.assign(next(norms))
            for callback in (position, watch):
                callback.on_train_batch_end(step, {})
        logs = {}
        for callback in (position, watch):
            callback.on_epoch_end(epoch, logs)
        logged.append(logs)
    assert logged == [{"gradient_norm": 3.0, "learning_rate": 0.3}, {"gradient_norm": 6.0, "learning_rate": 0.1}]
