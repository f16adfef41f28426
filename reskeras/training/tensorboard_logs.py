"""TensorBoard logs of a training: scalars every epoch, histograms and a profile on request."""

from __future__ import annotations

from pathlib import Path

import keras

from reskeras.errors import ReskerasError
from reskeras.files import publish
from reskeras.runs import RunFolder
from reskeras.training.step_callbacks import StepCallback

PROFILED_FROM = 5  # leaves out the steps that trace and warm up


class Boards(keras.callbacks.TensorBoard, StepCallback):
    """Keras' callback, with the learning rate from the logs; Keras' own reads that of the next epoch's first step."""

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Count the step for the profile; its figures are written by the epoch, so they are not read."""
        super().on_train_batch_end(batch)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the epoch's figures; to a remote run too."""
        super().on_epoch_end(epoch, logs)
        for writer in self._writers.values():
            writer.flush()
        publish(Path(self.log_dir))

    def on_train_end(self, logs: dict | None = None) -> None:
        """Close the files, and publish what was written since."""
        super().on_train_end(logs)
        publish(Path(self.log_dir))

    def _collect_learning_rate(self, logs: dict) -> dict:
        return logs


def tensorboard(run: RunFolder, histograms: bool, profile: int) -> list[keras.callbacks.Callback]:
    """The callback that writes to `logs/`: `histograms` of the weights each epoch, a profile of `profile` steps."""
    if profile < 0:
        raise ReskerasError(f"profile: {profile}: should be a number of steps")
    steps = (PROFILED_FROM, PROFILED_FROM + profile - 1) if profile else 0
    return [Boards(log_dir=str(run.log_folder), histogram_freq=int(histograms), write_graph=False, profile_batch=steps)]
