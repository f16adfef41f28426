"""Epochs as calls of Keras' `fit`: the rest of an epoch that was stopped, whole ones, and a shorter last one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import keras

from reskeras.training.feed import Feed
from reskeras.training.position import Position


def run_epochs(
    model: keras.Model, feed: Feed, position: Position, callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Train from `position` to its end. A callback that sets `model.stop_training` ends it after the epoch."""
    watched, batches = feed.watching()
    for first, until, steps in pieces(position):
        model.fit(
            feed.training(first, position.step, until), initial_epoch=first, epochs=until, steps_per_epoch=steps,
            validation_data=watched, validation_steps=batches, callbacks=list(callbacks), verbose=0,
            shuffle=False,  # shuffled already
        )
        if model.stop_training:
            return


def pieces(position: Position) -> Iterator[tuple[int, int, int]]:
    """(first epoch, epoch to end before, steps of each) of the runs of equally long epochs that are left."""
    epoch, whole = position.epoch, position.total // position.steps_per_epoch
    if position.step and epoch < position.epochs:
        yield epoch, epoch + 1, position.left()
        epoch += 1
    if epoch < whole:
        yield epoch, whole, position.steps_per_epoch
        epoch = whole
    if epoch < position.epochs:
        yield epoch, epoch + 1, position.total - whole * position.steps_per_epoch
