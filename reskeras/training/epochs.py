"""Epochs as calls of Keras' `fit`: the rest of an interrupted epoch, whole epochs, and a shorter last one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import keras

from reskeras.training.position import Position
from reskeras.training.step_callbacks import StepCallbacks
from reskeras.training.subject import Feeding
from reskeras.training.trained_model import TrainedModel


def run_epochs(
    model: TrainedModel,
    feed: Feeding,
    position: Position,
    callbacks: Sequence[keras.callbacks.Callback],
    last: int | None = None,
) -> None:
    """Train from `position` to the end of training, or to the end of epoch number `last`.

    A callback that sets `model.stop_training` ends it after the current epoch.
    """
    watched, batches = feed.watching()
    for first, until, steps in pieces(position, last, feed.changes):
        fed = feed.at(first)
        if feed.changes:
            model.begin_size(fed.finished)
        model.fit(
            fed.training(first, position.step, until),
            initial_epoch=first,
            epochs=until,
            steps_per_epoch=steps,
            validation_data=watched,
            validation_steps=batches,
            callbacks=StepCallbacks(callbacks, model, until, steps),
            verbose=0,
            shuffle=False,  # shuffled already
        )
        if model.stop_training:
            return


def pieces(position: Position, last: int | None = None, changes: Iterable[int] = ()) -> Iterator[tuple[int, int, int]]:
    """(first epoch, end epoch exclusive, steps per epoch) of the remaining runs of epochs of equal length, none of
    which goes beyond the beginning of an epoch of `changes`, in order.

    Epochs beyond number `last` are left out.
    """
    epoch, epochs = position.epoch, min(position.epochs, last or position.epochs)
    whole = min(position.total // position.steps_per_epoch, epochs)
    if position.step and epoch < epochs:
        yield epoch, epoch + 1, position.left()
        epoch += 1
    for until in [*(change for change in changes if epoch < change < whole), whole]:
        if epoch < until:
            yield epoch, until, position.steps_per_epoch
            epoch = until
    if epoch < epochs:
        yield epoch, epoch + 1, position.total - whole * position.steps_per_epoch
