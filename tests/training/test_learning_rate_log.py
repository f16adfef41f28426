"""The learning rate in a run's logs is the one its epoch's last update was made with, whatever moves it."""

import math

import keras
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

import reskeras

NETWORK = {
    "family": "cifar",
    "stages": [{"units": 1, "width": 4}],
    "stem": {"convs": [{"width": 4}]},
    "input_shape": [8, 8, 1],
}
IMAGES, BATCH, PEAK = 200, 40, 0.1
STEPS = IMAGES // BATCH


def trained(out, **fields):
    fields = {"epochs": 3, "batch_size": BATCH, "learning_rate": PEAK, "holdout": 0.0, **fields}
    return reskeras.train(reskeras.network(**NETWORK), f"digits@{IMAGES}", out=out, **fields)


def logged(run):
    return [row["learning_rate"] for row in run.folder.metrics()]


def on_the_boards(run):
    events = EventAccumulator(str(run.folder.log_folder / "train"))
    events.Reload()
    return [float(make_ndarray(event.tensor_proto)) for event in events.Tensors("epoch_learning_rate")]


def cosine(update, updates):
    return PEAK * 0.5 * (1 + math.cos(math.pi * update / updates))


def linear(update, updates):
    return PEAK * (1 - update / updates)


def dropped(update, updates):
    return PEAK * (0.1 if update >= round(updates / 3) else 1.0)


@pytest.mark.parametrize(
    ("schedule", "course"),
    [
        ({"kind": "cosine"}, cosine),
        ({"kind": "linear"}, linear),
        ({"kind": "steps", "drops": [1 / 3]}, dropped),
        ({"kind": "constant"}, lambda update, updates: PEAK),
    ],
)
def test_each_epoch_logs_the_rate_of_its_last_step(tmp_path, schedule, course):
    run = trained(tmp_path / "run", schedule=schedule)
    expected = [course(epoch * STEPS - 1, 3 * STEPS) for epoch in (1, 2, 3)]
    assert logged(run) == pytest.approx(expected, rel=1e-5)
    assert on_the_boards(run) == pytest.approx(expected, rel=1e-5)


def test_the_epoch_before_a_plateau_drops_the_rate_was_trained_with_the_higher_one(tmp_path):
    # no epoch improves on the first by so much, so that the rate drops after the second
    plateau = {"kind": "plateau", "patience": 1, "least": 1.0}
    rates = logged(trained(tmp_path / "run", schedule=plateau, epochs=4))
    assert rates == pytest.approx([PEAK, PEAK, 0.1 * PEAK, 0.01 * PEAK])


def test_an_accumulating_training_logs_the_rate_of_its_last_update(tmp_path):
    # 9 steps of 22 images an epoch, 3 to an update: the second and the last epoch end with an update
    run = trained(tmp_path / "run", batch_size=66, accumulate=3, epochs=2, schedule={"kind": "linear"})
    assert logged(run) == pytest.approx([linear(8, 18), linear(17, 18)], rel=1e-5)
    # 10 steps of 20: the epoch's last step only adds to the next update
    run = trained(tmp_path / "odd", batch_size=60, accumulate=3, epochs=2, schedule={"kind": "linear"})
    assert logged(run) == pytest.approx([linear(8, 20), linear(17, 20)], rel=1e-5)


class Failing(Exception):
    """Stands for whatever ends a training in the middle of an epoch."""


def test_a_resumed_training_logs_the_same_rates(tmp_path):
    def look(batch, logs):
        if batch == 3:
            raise Failing

    fields = {"checkpoint_steps": 2, "schedule": {"kind": "cosine"}}
    with pytest.raises(Failing):
        trained(tmp_path / "run", callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=look)], **fields)
    resumed = trained(tmp_path / "run", resume=True, **fields)
    assert logged(resumed) == pytest.approx([cosine(epoch * STEPS - 1, 3 * STEPS) for epoch in (1, 2, 3)], rel=1e-5)
