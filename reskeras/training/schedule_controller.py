"""Adaptive parts of the learning rate schedule: the end of a warm-up by training error, and drops at plateaus."""

from __future__ import annotations

from typing import Any

from reskeras.recipes.recipe import Recipe
from reskeras.training.position import Position
from reskeras.training.schedule import RecipeSchedule
from reskeras.training.step_callbacks import StepCallback
from reskeras.training.subject import Logs, Measure

MEMORY = 0.95  # decay of the moving average of the training error: about the last twenty steps


class ScheduleController(StepCallback):
    """Moves the schedule's `scale` by training error (v1 section 4.2) and by plateaus of the watched error (v1 3.4)."""

    def __init__(self, recipe: Recipe, layers: int, schedule: RecipeSchedule, position: Position, measure: Measure):
        super().__init__()
        measure.check(recipe)
        self.recipe, self.schedule, self.position, self.measure = recipe.schedule, schedule, position, measure
        self.until = until = self.recipe.warmup_until
        self.warming = until is not None and layers >= until.from_layers
        self.error, self.seen = 1.0, 0.0  # moving average of the training error; correct so far in this epoch, in steps
        self.best, self.bad_epochs, self.drops = float("inf"), 0, 0

    def state(self) -> dict[str, Any]:
        """State for the checkpoint."""
        return {
            "warming": self.warming,
            "error": self.error,
            "seen": self.seen,
            "best": self.best,
            "bad_epochs": self.bad_epochs,
            "drops": self.drops,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a checkpoint's state."""
        self.__dict__.update(state)
        self._scale()

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Set the scale of the learning rate."""
        self._scale()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Reset with the metrics, unless the epoch is resumed midway."""
        if self.position.step == 0:
            self.seen = 0.0

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        """End the warm-up when the training error is low enough."""
        if not self.warming or self.until is None or self.measure.training_error is None:
            return
        error = self.measure.training_error({name: float(value) for name, value in logs.items()})
        hits = (1 - error) * self.position.step  # the log is the epoch's mean
        self.error = MEMORY * self.error + (1 - MEMORY) * (1 - (hits - self.seen))
        self.seen = hits
        if self.error < self.until.error:
            self.warming = False
            self._scale()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """Drop the rate when the watched error has stopped falling."""
        if self.recipe.kind != "plateau":
            return
        error = self.measure.watched_error(logs)
        if error < self.best - self.recipe.least:
            self.best, self.bad_epochs = error, 0
            return
        self.bad_epochs += 1
        if self.bad_epochs >= self.recipe.patience:
            self.drops, self.bad_epochs = self.drops + 1, 0
            self._scale()

    def _scale(self) -> None:
        warm = self.until.rate if self.until and self.warming else 1.0
        self.schedule.scale.assign(warm * self.recipe.factor**self.drops)
