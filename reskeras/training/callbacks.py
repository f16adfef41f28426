"""Callbacks: progress, gradient norms, evaluation with averaged weights, early stopping, the run's files."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from reskeras.files import copy_file
from reskeras.graph.load import save_model
from reskeras.graph.weights import read, write
from reskeras.runs import MODEL_FILE, RunFolder
from reskeras.training.background import Background
from reskeras.training.optimizer import inner_optimizer
from reskeras.training.position import Position
from reskeras.training.step_callbacks import StepCallback
from reskeras.training.strategy import Replicas
from reskeras.training.subject import Judge, Logs, Measure
from reskeras.verbosity import Verbosity, verbosity

EVERY, OFTEN = 1.0, 0.1  # seconds between printed steps, and between updates of the bar
READ = 64  # steps whose gradient norms are read together


class ProgressPrinter(StepCallback):
    """Progress bar on a terminal and one line per epoch everywhere; without a terminal, --verbose prints steps too.

    `watched` says which images the validation figures are of: validation, held-out or test. `changes` has the epochs
    that begin with training images of another size, which is printed.
    """

    def __init__(
        self,
        images_per_step: int,
        watched: str,
        position: Position,
        measure: Measure,
        changes: Mapping[int, str] | None = None,
        console: Console | None = None,
    ):
        super().__init__()
        self.changes = changes or {}
        self.images_per_step, self.watched, self.position = images_per_step, watched, position
        self.measure = measure
        self.quiet, self.verbose = (verbosity() == level for level in (Verbosity.QUIET, Verbosity.VERBOSE))
        self.console = console or Console(stderr=True, soft_wrap=True, quiet=self.quiet)
        self.bar: Progress | None = None
        self.began = 0.0

    def __enter__(self) -> ProgressPrinter:
        """Show the bar on a terminal."""
        if self.console.is_terminal and not self.quiet:
            note = TextColumn("{task.fields[note]}")
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), note, TimeRemainingColumn())
            self.bar = Progress(*columns, console=self.console, transient=True)
            self.bar.start()
            self.task = self.bar.add_task("training", total=self.position.total, completed=self.position.steps, note="")
        return self

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the epoch's clock; print a change of size."""
        self.began, self.steps = time.perf_counter(), 0
        self.told = self.began
        if epoch in self.changes:
            self.console.print(f"training on images of {self.changes[epoch]}", highlight=False)

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """Advance the bar, or print a step, now and then: to read the loss is to wait for the device."""
        self.steps += 1
        now = time.perf_counter()
        if now - self.told < (OFTEN if self.bar else EVERY):
            return
        self.told = now
        rate = self.steps * self.images_per_step / (now - self.began)
        if self.bar:
            note = f"{rate:.0f} images/s  loss {float(logs['loss']):.3f}"
            self.bar.update(self.task, completed=self.position.steps, note=note)
        elif self.verbose:
            self.console.print(
                f"step {self.position.steps}/{self.position.total}  loss {float(logs['loss']):.4f}  "
                f"{rate:.0f} images/s",
                highlight=False,
            )

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Print a line: the figures of the training images and of the watched ones."""
        seconds = time.perf_counter() - self.began
        self.console.print(
            f"epoch {epoch + 1}/{self.position.epochs}  {self.measure.told(logs, self.watched)}  {seconds:.1f} s",
            highlight=False,
        )

    def __exit__(self, *error: object) -> None:
        """Remove the bar."""
        if self.bar:
            self.bar.stop()


class GradientLogger(StepCallback):
    """Adds the epoch's mean gradient norm and the learning rate of its last step to the logs.

    Must run before the callbacks that write logs, and before the one that changes the schedule's scale: the rate is
    that of the last step, not of the next one.
    """

    def __init__(self, position: Position):
        super().__init__()
        self.position, self.total = position, 0.0
        self.unread: list[tf.Tensor] = []

    def state(self) -> dict[str, Any]:
        """State for the checkpoint."""
        self._read()
        return {"total": self.total}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a checkpoint's state."""
        self.total = state["total"]

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Keep this step's gradient norm on the device, which need not have finished the step."""
        if self.position.step == 1:
            self.total, self.unread = 0.0, []
        self.unread.append(tf.identity(inner_optimizer(self.model).gradient_norm))
        self.steps = self.position.step
        if len(self.unread) >= READ:
            self._read()
        if self.position.left() == 0:
            self.rate = inner_optimizer(self.model).last_rate()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Add the epoch's figures to `logs`."""
        self._read()
        logs["gradient_norm"] = self.total / self.steps
        logs["learning_rate"] = self.rate

    def _read(self) -> None:
        """Add up what was kept, in order."""
        for norm in self.unread:
            self.total += float(norm)
        self.unread = []


class AveragedEvaluation(keras.callbacks.Callback):
    """Swaps the moving averages of the weights in for evaluation, and the weights back in afterwards.

    Keras' own SwapEMAWeights swaps by adding and subtracting, which rounds the weights at every evaluation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[keras.Variable, np.ndarray]] = []

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Swap the averages in."""
        averages = inner_optimizer(self.model).averages()
        for variable in self.model.trainable_variables:
            if id(variable) in averages:
                self.kept.append((variable, keras.ops.convert_to_numpy(variable)))
                variable.assign(keras.ops.convert_to_numpy(averages[id(variable)]))

    def on_test_end(self, logs: dict | None = None) -> None:
        """Swap the weights back in."""
        for variable, value in self.kept:
            variable.assign(value)
        self.kept.clear()


class JudgedEpochs(keras.callbacks.Callback):
    """Adds the figures of a judge to the logs of each epoch: those of the weights that are saved.

    Must run before the callbacks that use logs. The chief of several workers judges for all of them.
    """

    def __init__(self, judge: Judge, replicas: Replicas):
        super().__init__()
        self.judge, self.replicas = judge, replicas

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Judge, and add the figures to `logs`."""
        averages = inner_optimizer(self.model).averages()
        logs.update(self.replicas.from_chief(lambda: self.judge(read(self.model, instead=averages))))


class Patience(keras.callbacks.Callback):
    """Early stopping: ends a training whose score on the watched images has not improved for `epochs` epochs."""

    def __init__(self, epochs: int, measure: Measure):
        super().__init__()
        self.epochs, self.measure = epochs, measure
        self.best: tuple[float, ...] = (float("-inf"),)
        self.waited = 0

    @property
    def over(self) -> bool:
        """Whether patience has run out."""
        return self.waited >= self.epochs

    def state(self) -> dict[str, Any]:
        """State for the checkpoint."""
        return {"best": self.best, "waited": self.waited}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a checkpoint's state."""
        self.best, self.waited = tuple(state["best"]), state["waited"]

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Compare with the best epoch so far."""
        score = self.measure.score(logs)
        self.waited = 0 if score > self.best else self.waited + 1
        self.best = max(self.best, score)
        self.model.stop_training = self.over


class RunRecorder(keras.callbacks.Callback):
    """After each epoch: a line in metrics.jsonl, the last model, and the best one.

    The best epoch is the one with the highest score of `measure` on validation or held-out images. Without any it is
    the last one: picking by the test images would be training on them. Models are written in the background, during the
    next epoch's steps.
    """

    def __init__(self, run: RunFolder, saved: keras.Model, picks: bool, position: Position, measure: Measure):
        super().__init__()
        self.run, self.saved, self.picks, self.position, self.measure = run, saved, picks, position, measure
        self.best: tuple[float, ...] = (float("-inf"),)
        self.began = 0.0
        self.writing = Background()

    def state(self) -> dict[str, Any]:
        """State for the checkpoint."""
        return {"best": self.best}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a checkpoint's state."""
        self.best = tuple(state["best"])

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the epoch's clock."""
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Write this epoch's metrics and models."""
        row = {name: float(value) for name, value in logs.items()}
        self.run.add_metrics({"epoch": epoch + 1, **row, "seconds": round(time.perf_counter() - self.began, 3)})
        score = self.measure.score(row)
        best = not self.picks or score > self.best
        self.best = max(self.best, score)
        self.writing.wait()  # before the model that is being written changes
        write(self.saved, read(self.model, instead=inner_optimizer(self.model).averages()))
        self.writing.start(partial(self._write, epoch, best))

    def _write(self, epoch: int, best: bool) -> None:
        save_model(self.saved, self.run.last_model_file)
        if best:
            copy_file(self.run.last_model_file, self.run.path / MODEL_FILE, durable=True)
            self.run.update_provenance(best_epoch=epoch + 1)

    def finish(self) -> None:
        """Wait until the last model is written."""
        self.writing.wait()
