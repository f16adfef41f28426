"""Where a training stands: epochs done, and steps of the epoch that it is in."""

from __future__ import annotations

import keras


class Position(keras.callbacks.Callback):
    """Counts; first of all callbacks, so that the others find it up to date.

    `epoch` is the number of finished epochs, `step` of finished steps in the current one.
    """

    def __init__(self, steps_per_epoch: int, total: int):
        super().__init__()
        self.steps_per_epoch, self.total = steps_per_epoch, total
        self.epoch = self.step = 0

    @property
    def steps(self) -> int:
        """Steps since the beginning."""
        return self.epoch * self.steps_per_epoch + self.step

    @property
    def epochs(self) -> int:
        """Epochs in the whole training; the last one may be shorter."""
        return -(-self.total // self.steps_per_epoch)

    def left(self) -> int:
        """Steps that the current epoch still has."""
        return min(self.steps_per_epoch, self.total - self.epoch * self.steps_per_epoch) - self.step

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """One more."""
        self.step += 1

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """The next epoch."""
        self.epoch, self.step = self.epoch + 1, 0
