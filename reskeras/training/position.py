"""Position in a training: finished epochs, and finished steps of the current epoch."""

from __future__ import annotations

from reskeras.training.step_callbacks import StepCallback


class Position(StepCallback):
    """Counts epochs and steps; the first of all callbacks, so that the others see it updated.

    `epoch` is the number of finished epochs, `step` of finished steps in the current one.
    """

    def __init__(self, steps_per_epoch: int, total: int):
        super().__init__()
        self.steps_per_epoch, self.total = steps_per_epoch, total
        self.epoch = self.step = 0

    @property
    def steps(self) -> int:
        """Finished steps in all."""
        return self.epoch * self.steps_per_epoch + self.step

    @property
    def epochs(self) -> int:
        """Epochs of the whole training; the last one may be shorter."""
        return -(-self.total // self.steps_per_epoch)

    def left(self) -> int:
        """Remaining steps of the current epoch."""
        return min(self.steps_per_epoch, self.total - self.epoch * self.steps_per_epoch) - self.step

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Count a step."""
        self.step += 1

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Count an epoch."""
        self.epoch, self.step = self.epoch + 1, 0
