"""Callbacks that end a training early, on a diverged loss or a signal, and write the checkpoints for resuming."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from functools import partial
from math import isfinite
from types import FrameType
from typing import Any

from reskeras.errors import ReskerasError, failure
from reskeras.printable import counted
from reskeras.recipes.recipe import Recipe
from reskeras.training.background import Background
from reskeras.training.checkpoints import Checkpoints
from reskeras.training.position import Position
from reskeras.training.state import TrainingState
from reskeras.training.step_callbacks import StepCallback
from reskeras.training.subject import Logs

SIGNALS: dict[int, int] = {signal.SIGTERM: 143, signal.SIGINT: 130}
WILD = 1e8  # a loss that no training recovers from
TOGETHER = 16  # steps whose losses are read together, and at most between two questions of workers whether to stop,
SECONDS = 2.0  # which are also at most this long apart: what stops them does not wait for long


class DivergenceStop(StepCallback):
    """Ends the training when the loss of a step is not finite or above WILD.

    Losses are read every TOGETHER steps, at the end of an epoch, and before anything is kept of the training: to read
    one is to wait for the device.
    """

    def __init__(self, recipe: Recipe, position: Position, checkpoints: Checkpoints | None):
        super().__init__()
        self.recipe, self.position, self.checkpoints = recipe, position, checkpoints
        self.unread: list[tuple[int, int, Any]] = []  # epoch, step of it, and its loss, on the device

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """Keep the loss; check those kept if it is time."""
        self.unread.append((self.position.epoch, self.position.step, logs["loss"]))
        if len(self.unread) >= TOGETHER or self.position.left() == 0:
            self.check()

    def check(self) -> None:
        """Raise `failure` for the first step that diverged, among those not checked yet."""
        unread, self.unread = self.unread, []
        for epoch, step, loss in unread:
            if not (isfinite(loss) and loss < WILD):
                self._end(epoch, step, float(loss))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Check the losses of an epoch that a callback has cut short."""
        self.check()

    def _end(self, epoch: int, step: int, loss: float) -> None:
        last = self.checkpoints.all() if self.checkpoints else []
        good = f"; the last good state is {last[-1].name}" if last else ""
        raise failure(
            f"train: the loss has diverged to {loss:.3g} at step {epoch * self.position.steps_per_epoch + step} "
            f"(epoch {epoch + 1}, step {step}){good}; try a lower learning_rate "
            f"or a longer schedule.warmup (recipe: {self.recipe.learning_rate:g}, {self.recipe.schedule.warmup:g}), "
            "or clip_norm"
        )


class StateKeeper(StepCallback):
    """Writes a checkpoint after each epoch, every `every` steps, and when asked to stop.

    SIGTERM and SIGINT end the training after the current step, with a checkpoint there; during an evaluation, after
    it. A second signal ends the process at once. `agreed` tells whether any worker was asked, and the chief's number of
    steps until the next time: several workers do not ask after each step, so that not each waits for all of them. It is
    None for a single worker. The checkpoint of an epoch is written after what `writing` still writes of that epoch, so
    that the models it refers to always exist; none is written of a training that `stop` finds diverged.
    """

    def __init__(
        self,
        state: TrainingState,
        checkpoints: Checkpoints | None,
        every: int | None,
        stop: DivergenceStop,
        agreed: Callable[[bool, int], tuple[bool, int]] | None = None,
        writing: Background | None = None,
    ):
        super().__init__()
        self.training, self.checkpoints, self.every, self.diverged = state, checkpoints, every, stop
        self.agreed = agreed
        self.wait = self.since = 1  # steps from one question to the next, and since the last one
        self.clock = time.monotonic()
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
        if position.left() == 0:
            return  # `on_epoch_end` writes it, with the results of the evaluation
        if self._stops():
            self._keep(self.writing.start)
            self._stop()
        elif self.every and position.steps % self.every == 0:
            self._keep(self.writing.start)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write a checkpoint; stop if asked."""
        self._keep(self.writing.follow)
        self.since = self.wait  # all workers are here
        if self._stops() and self.training.position.steps < self.training.position.total:
            self._stop()

    def _stops(self) -> bool:
        """Whether to stop now: any worker was asked, if it is time to ask them."""
        if self.agreed is None:
            return self.asked is not None
        if self.since < self.wait:
            self.since += 1
            return False
        now = time.monotonic()
        steps = SECONDS * self.wait / max(now - self.clock, 1e-6)
        stops, self.wait = self.agreed(self.asked is not None, int(min(max(steps, 1), TOGETHER)))
        self.since, self.clock = 1, now
        return stops

    def _keep(self, begin: Callable[[Callable[[], None]], None]) -> None:
        self.diverged.check()
        position = self.training.position
        arrays = self.training.capture()  # on every worker: reading metrics is a reduction over all replicas
        if self.checkpoints:
            begin(partial(self.checkpoints.save, arrays, position.epoch, position.step))

    def _stop(self) -> None:
        self.writing.wait()
        position, status = self.training.position, SIGNALS[self.asked or signal.SIGTERM]
        raise ReskerasError(
            f"train: stopped on request in epoch {position.epoch + 1} after {counted(position.step, 'step')}; "
            "the same command with --resume continues",
            status=status,
        )
