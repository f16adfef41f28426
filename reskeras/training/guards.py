"""Callbacks that end a training early, on a diverged loss or a signal, and write the checkpoints for resuming."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from math import isfinite
from types import FrameType
from typing import Any

import keras

from reskeras.errors import ReskerasError, failure
from reskeras.recipes.recipe import Recipe
from reskeras.training.background import Background
from reskeras.training.checkpoints import Checkpoints
from reskeras.training.position import Position
from reskeras.training.state import TrainingState
from reskeras.training.subject import Logs

SIGNALS: dict[int, int] = {signal.SIGTERM: 143, signal.SIGINT: 130}
WILD = 1e8  # a loss that no training recovers from


class DivergenceStop(keras.callbacks.Callback):
    """Ends the training at the first step whose loss is not finite or above WILD."""

    def __init__(self, recipe: Recipe, position: Position, checkpoints: Checkpoints | None):
        super().__init__()
        self.recipe, self.position, self.checkpoints = recipe, position, checkpoints

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """Check the loss."""
        if isfinite(logs["loss"]) and logs["loss"] < WILD:
            return
        last = self.checkpoints.all() if self.checkpoints else []
        good = f"; the last good state is {last[-1].name}" if last else ""
        raise failure(
            f"train: the loss has diverged to {logs['loss']:.3g} at step {self.position.steps} "
            f"(epoch {self.position.epoch + 1}, step {self.position.step}){good}; try a lower learning_rate "
            f"or a longer schedule.warmup (recipe: {self.recipe.learning_rate:g}, {self.recipe.schedule.warmup:g}), "
            "or clip_norm"
        )


class StateKeeper(keras.callbacks.Callback):
    """Writes a checkpoint after each epoch, every `every` steps, and when asked to stop.

    SIGTERM and SIGINT end the training after the current step, with a checkpoint there; during an evaluation, after
    it. A second signal ends the process at once. `agreed` tells whether any worker was asked. The checkpoint of an
    epoch is written after what `writing` still writes of that epoch, so that the models it refers to always exist.
    """

    def __init__(
        self,
        state: TrainingState,
        checkpoints: Checkpoints | None,
        every: int | None,
        agreed: Callable[[bool], bool] = bool,
        writing: Background | None = None,
    ):
        super().__init__()
        self.training, self.checkpoints, self.every, self.agreed = state, checkpoints, every, agreed
        self.writing = writing or Background()
        self.asked: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StateKeeper:
        """Install the signal handlers, if this is the main thread."""
        for number in SIGNALS:
            try:
                self._before[number] = signal.signal(number, self._ask)
            except ValueError:  # not the main thread
                break
        return self

    def __exit__(self, kind: type | None, *rest: object) -> None:
        """Restore the signal handlers and wait for pending writes."""
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
        """Restore the metrics of an epoch that is resumed midway."""
        if self.training.position.step:
            self.training.restore_metrics()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Stop if asked; otherwise write a checkpoint if one is due."""
        position = self.training.position
        stops = self.agreed(self.asked is not None)
        if position.left() == 0:
            return  # `on_epoch_end` writes it, with the results of the evaluation
        if stops:
            self._keep(self.writing.start)
            self._stop()
        elif self.every and position.steps % self.every == 0:
            self._keep(self.writing.start)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write a checkpoint; stop if asked."""
        self._keep(self.writing.follow)
        if self.agreed(self.asked is not None) and self.training.position.steps < self.training.position.total:
            self._stop()

    def _keep(self, begin: Callable[[Callable[[], None]], None]) -> None:
        position = self.training.position
        arrays = self.training.capture()  # on every worker: reading metrics is a reduction over all replicas
        if self.checkpoints:
            begin(partial(self.checkpoints.save, arrays, position.epoch, position.step))

    def _stop(self) -> None:
        self.writing.wait()
        position, status = self.training.position, SIGNALS[self.asked or signal.SIGTERM]
        raise ReskerasError(
            f"train: stopped on request in epoch {position.epoch + 1} after {position.step} of its "
            "steps; the same command with --resume continues",
            status=status,
        )
