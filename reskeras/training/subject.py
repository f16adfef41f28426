"""What a training is of: a model and what it is fed, behind the few things that the one fit asks of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import tensorflow as tf

from reskeras.errors import ReskerasError
from reskeras.spec.plan import Plan
from reskeras.spec.recipe import Recipe
from reskeras.training.strategy import Replicas
from reskeras.training.trained_model import TrainedModel

Logs = Mapping[str, Any]


@dataclass(frozen=True)
class Measure:
    """How an epoch is judged and told by its logs.

    `score` is the more the better: it picks the best epoch. `watched_error` is what a plateau is seen by,
    `training_error` in 0..1 what a warm-up by error ends by, None where there is none. `shown` are the name of a log,
    what it is called, and its format; of the watched images those of the first `watched_shown`, or all.
    """

    score: Callable[[Logs], tuple[float, ...]]
    watched_error: Callable[[Logs], float]
    training_error: Callable[[Logs], float] | None
    shown: tuple[tuple[str, str, str], ...]
    watched_shown: int | None = None

    def check(self, recipe: Recipe) -> None:
        """Raise ReskerasError when the recipe goes by an error that is not measured."""
        if recipe.schedule.warmup_until and self.training_error is None:
            raise ReskerasError("schedule.warmup_until: goes by a classifier's training error; choose schedule.warmup")

    def told(self, logs: Logs, watched: str) -> str:
        """The figures of an epoch in a line: of the training images, then of the `watched` ones."""
        figures = [f"{label} {logs[name]:{form}}" for name, label, form in self.shown]
        figures += [f"{watched} {label} {logs[f'val_{name}']:{form}}" for name, label, form
                    in self.shown[: self.watched_shown] if f"val_{name}" in logs]
        return "  ".join(figures)


class Feeding(Protocol):
    """Batches of a training from any position on, and the watched images."""

    steps_per_epoch: int
    held_out: bool
    watches: str
    train: Any  # with `count` images
    watched: Any  # likewise

    def training(self, epoch: int, step: int, until: int) -> tf.data.Dataset:
        """Batches from `step` of `epoch` up to epoch `until`."""

    def watching(self) -> tuple[tf.data.Dataset, int]:
        """Batches of every watched image once, in order, and how many batches that are."""

    def check(self) -> None:
        """Raise ReskerasError when these images cannot be augmented or shared out as the recipe says."""

    def broken_image(self, epoch: int, step: int) -> str | None:
        """Where the image is stored that the training could not read after `step` steps of `epoch`, if it is found."""

    def example(self) -> tuple[Any, ...]:
        """Shapes and types of a batch, as nested tf.TensorSpec."""


class Subject(Protocol):
    """A network to train with its data."""

    @property
    def name(self) -> str:
        """What the model is called."""

    @property
    def plan(self) -> Plan:
        """All units that are trained."""

    @property
    def measure(self) -> Measure:
        """How an epoch is judged."""

    def described(self) -> dict[str, Any]:
        """What tells it from others, as plain data: its states fit no other."""

    def feed(self, recipe: Recipe, replicas: Replicas) -> Feeding:
        """What it is fed."""

    def compiled(self, recipe: Recipe, steps: int, synchronized: bool = False) -> TrainedModel:
        """The model to train by `recipe`, for so many updates in all, with optimiser and losses."""

    def saved(self) -> keras.Model:
        """A float32 model, written out, for the weights that are trained."""
