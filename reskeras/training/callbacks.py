"""What happens beside the steps of a training: progress, metrics file, best and last model."""

from __future__ import annotations

import time
from functools import partial
from math import isfinite

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from reskeras.graph.load import save_model
from reskeras.graph.weights import copy_weights
from reskeras.runs import MODEL_FILE, RunFolder, copy_atomically
from reskeras.training.background import Background


class Pace(keras.callbacks.Callback):
    """A progress bar on a terminal and one line an epoch everywhere, with images per second.

    `watched` says which images the validation figures are of: held-out or test.
    """

    def __init__(self, images_per_step: int, watched: str, console: Console | None = None):
        super().__init__()
        self.images_per_step, self.watched = images_per_step, watched
        self.console = console or Console(stderr=True, soft_wrap=True)
        self.bar: Progress | None = None
        self.began = 0.0

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Show the bar, if anybody can see it."""
        if self.console.is_terminal:
            note = TextColumn("{task.fields[note]}")
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), note, TimeRemainingColumn())
            self.bar = Progress(*columns, console=self.console, transient=True)
            self.bar.start()
            self.task = self.bar.add_task("training", total=self.params["epochs"] * self.params["steps"], note="")

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the epoch's clock."""
        self.began, self.steps = time.perf_counter(), 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Move the bar by a step."""
        self.steps += 1
        if self.bar:
            rate = self.steps * self.images_per_step / (time.perf_counter() - self.began)
            self.bar.update(self.task, advance=1, note=f"{rate:.0f} images/s  loss {logs['loss']:.3f}")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """One line: loss and accuracy on the training images and on the watched ones."""
        seconds = time.perf_counter() - self.began
        self.console.print(
            f"epoch {epoch + 1}/{self.params['epochs']}  loss {logs['loss']:.4f}  accuracy {logs['accuracy']:.2%}  "
            f"{self.watched} loss {logs['val_loss']:.4f}  {self.watched} accuracy {logs['val_accuracy']:.2%}  "
            f"{seconds:.1f} s",
            highlight=False,
        )

    def on_train_end(self, logs: dict | None = None) -> None:
        """Take the bar away."""
        if self.bar:
            self.bar.stop()


class Record(keras.callbacks.Callback):
    """After each epoch: a line in metrics.jsonl, the last model, and the best one.

    The best epoch is the one with the highest accuracy on the held-out images, among equals the one with the
    lowest loss. With nothing held out it is the last: to pick by the test images would be to train on them.
    Models are written beside the next epoch's steps.
    """

    def __init__(self, run: RunFolder, saved: keras.Model, picks: bool):
        super().__init__()
        self.run, self.saved, self.picks = run, saved, picks
        self.best = (-1.0, 0.0)
        self.began = 0.0
        self.writing = Background()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the epoch's clock."""
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write what this epoch gave; a diverged epoch leaves the models of the last sound one."""
        logs = {name: float(value) for name, value in logs.items()}
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.run.add_metrics({"epoch": epoch + 1, **logs, "learning_rate": rate,
                              "seconds": round(time.perf_counter() - self.began, 3)})
        if not isfinite(logs["loss"]):
            return
        score = (logs["val_accuracy"], -logs["val_loss"])
        best = not self.picks or score > self.best
        self.best = max(self.best, score)
        self.writing.wait()  # before the model that is being written changes
        copy_weights(self.model, self.saved)
        self.writing.start(partial(self._write, epoch, best))

    def _write(self, epoch: int, best: bool) -> None:
        save_model(self.saved, self.run.last_model_file)
        if best:
            copy_atomically(self.run.last_model_file, self.run.path / MODEL_FILE)
            self.run.update_provenance(best_epoch=epoch + 1)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Wait for the last model."""
        self.writing.wait()
