"""What may end a training early: a loss that is no number, a signal; and the checkpoints that it goes on from."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from math import isfinite
from types import FrameType
from typing import Any

import keras

from reskeras.errors import ReskerasError, failure
from reskeras.spec.recipe import Recipe
from reskeras.training.background import Background
from reskeras.training.checkpoints import Checkpoints
from reskeras.training.position import Position
from reskeras.training.state import TrainingState
from reskeras.training.subject import Logs

SIGNALS: dict[int, int] = {signal.SIGTERM: 143, signal.SIGINT: 130}
WILD = 1e8  # a loss that no training comes back from


class DivergenceStop(keras.callbacks.Callback):
    """Ends the training at the step at which the loss is no longer a number."""

    def __init__(self, recipe: Recipe, position: Position, checkpoints: Checkpoints | None):
        super().__init__()
        self.recipe, self.position, self.checkpoints = recipe, position, checkpoints

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """Look at the loss."""
        if isfinite(logs["loss"]) and logs["loss"] < WILD:
            return
        last = self.checkpoints.all() if self.checkpoints else []
        good = f"; the last good state is {last[-1].name}" if last else ""
        raise failure(f"train: the loss is not finite at step {self.position.steps} (epoch {self.position.epoch + 1}, "
                      f"step {self.position.step}){good}; try a lower learning_rate or a longer schedule.warmup "
                      f"(recipe: {self.recipe.learning_rate:g}, {self.recipe.schedule.warmup:g}), or clip_norm")


class StateKeeper(keras.callbacks.Callback):
    """Keeps the training's state after each epoch, every `every` steps, and when asked to stop.

    SIGTERM and SIGINT end the training after the step it is in, with the state where it stands; during an
    evaluation after that. A second signal ends it at once. `agreed` tells whether any worker was asked. A state of an
    epoch follows what `writing` writes of the epoch: whatever ends the process, the models that it tells of are there.
    """

    def __init__(self, state: TrainingState, checkpoints: Checkpoints | None, every: int | None,
                 agreed: Callable[[bool], bool] = bool, writing: Background | None = None):
        super().__init__()
        self.training, self.checkpoints, self.every, self.agreed = state, checkpoints, every, agreed
        self.writing = writing or Background()
        self.asked: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StateKeeper:
        """Listen for signals, where this is the main thread."""
        for number in SIGNALS:
            try:
                self._before[number] = signal.signal(number, self._ask)
            except ValueError:  # a thread: signals are somebody else's
                break
        return self

    def __exit__(self, kind: type | None, *rest: object) -> None:
        """Stop listening; a state that is being written is waited for."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None:
            self.writing.wait()
        else:
            self.writing.settle()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise SystemExit(SIGNALS[signal.Signals(number)])
        self.asked = number

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Go on in the middle of an epoch."""
        if self.training.position.step:
            self.training.restore_metrics()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Stop if asked; else keep the state if it is time."""
        position = self.training.position
        stops = self.agreed(self.asked is not None)
        if position.left() == 0:
            return  # the epoch's end keeps it, with what its evaluation gave
        if stops:
            self._keep(self.writing.start)
            self._stop()
        elif self.every and position.steps % self.every == 0:
            self._keep(self.writing.start)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Keep the state; stop if asked."""
        self._keep(self.writing.follow)
        if self.agreed(self.asked is not None) and self.training.position.steps < self.training.position.total:
            self._stop()

    def _keep(self, begin: Callable[[Callable[[], None]], None]) -> None:
        position = self.training.position
        arrays = self.training.capture()  # by every worker: to read metrics is to add them up over all replicas
        if self.checkpoints:
            begin(partial(self.checkpoints.save, arrays, position.epoch, position.step))

    def _stop(self) -> None:
        self.writing.wait()
        position, status = self.training.position, SIGNALS[self.asked or signal.SIGTERM]
        raise ReskerasError(f"train: stopped as asked in epoch {position.epoch + 1} after {position.step} of its "
                            "steps; the same command with --resume goes on", status=status)
