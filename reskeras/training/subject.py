"""What `fit` trains: the protocols of a model with its input pipeline, and how its epochs are scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import keras
import numpy as np
import tensorflow as tf

from reskeras.errors import ReskerasError
from reskeras.plans.plan import Plan
from reskeras.recipes.recipe import Recipe
from reskeras.training.strategy import Replicas
from reskeras.training.trained_model import TrainedModel

Logs = Mapping[str, Any]


@dataclass(frozen=True)
class Measure:
    """How an epoch is scored and reported from its logs.

    `score` is higher for better epochs and picks the best one. Plateaus are detected in `watched_error`; a warm-up by
    error ends by `training_error`, in 0..1, None where the task has none. `shown` are triples of a log's key, its label
    and its format; of the watched images those in `watched_shown` are printed, or all. What is not in the logs is left
    out.
    """

    score: Callable[[Logs], tuple[float, ...]]
    watched_error: Callable[[Logs], float]
    training_error: Callable[[Logs], float] | None
    shown: tuple[tuple[str, str, str], ...]
    watched_shown: tuple[str, ...] = ()

    def check(self, recipe: Recipe) -> None:
        """Raise ReskerasError when the recipe depends on an error that is not measured."""
        if recipe.schedule.warmup_until and self.training_error is None:
            raise ReskerasError("schedule.warmup_until: needs a classifier's training error; use schedule.warmup")

    def told(self, logs: Logs, watched: str) -> str:
        """The figures of an epoch in one line: of the training images, then of the `watched` ones."""
        figures = [f"{label} {logs[name]:{form}}" for name, label, form in self.shown if name in logs]
        figures += [
            f"{watched} {label} {logs[f'val_{name}']:{form}}"
            for name, label, form in self.shown
            if f"val_{name}" in logs and (not self.watched_shown or name in self.watched_shown)
        ]
        return "  ".join(figures)


class Judge(Protocol):
    """What judges the watched images after an epoch by more than a step can measure."""

    told: str  # what it judges by, in a line; empty where that needs no telling

    def __call__(self, weights: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Figures for the epoch's logs, of the network with these weights by canonical name."""


class Feeding(Protocol):
    """An input pipeline: training batches from any position on, and the watched (validation) images.

    `changes` has the epochs, counted from 0 and in order, from which training images have another size, which it tells;
    it is empty where they always have the network's.
    """

    steps_per_epoch: int
    changes: Mapping[int, str]
    held_out: bool
    watches: str
    train: Any  # with `count` images
    watched: Any  # likewise

    def at(self, epoch: int) -> Self:
        """The pipeline whose training images have the size of `epoch`; itself where that is the network's."""

    def training(self, epoch: int, step: int, until: int) -> tf.data.Dataset:
        """Batches from `step` of `epoch` up to epoch `until`, as `finished` takes them. They have one size."""

    @property
    def finished(self) -> Callable[..., tuple[Any, ...]]:
        """What the device computes of the parts of a training batch before each step: what the model takes."""

    def watching(self) -> tuple[tf.data.Dataset, int]:
        """Batches of every watched image once, in order, again and again, and the number of batches of one pass.

        Without end, so that one iterator serves all epochs: each that is begun takes TensorFlow up to half a second.
        """

    def check(self) -> None:
        """Raise ReskerasError when these images cannot be augmented or sharded as the recipe asks."""

    def sample(self, count: int) -> np.ndarray:
        """At most `count` evenly spaced training images as the network gets them, not augmented, float32 (n, height,
        width, channels)."""

    def broken_image(self, epoch: int, step: int) -> str | None:
        """Where the image is stored that could not be read after `step` steps of `epoch`; None if it is not found."""

    def example(self) -> tuple[Any, ...]:
        """Shapes and dtypes of a finished batch, as nested tf.TensorSpec."""


class Subject(Protocol):
    """A network and its data, as `fit` trains them."""

    @property
    def name(self) -> str:
        """What the model is called."""

    @property
    def plan(self) -> Plan:
        """All units that are trained."""

    @property
    def measure(self) -> Measure:
        """How epochs are scored and reported."""

    def described(self) -> dict[str, Any]:
        """What identifies it, as plain data: checkpoints of another subject do not fit."""

    def feed(self, recipe: Recipe, replicas: Replicas) -> Feeding:
        """The input pipeline."""

    def compiled(self, recipe: Recipe, steps: int, synchronized: bool = False) -> TrainedModel:
        """The model compiled for training by `recipe`; `steps` is the total number of updates."""

    def judge(self, feed: Any) -> Judge | None:
        """What judges the watched images of its `feed` after each epoch, besides the steps of an evaluation."""

    def saved(self) -> keras.Model:
        """The float32, unrolled model that the trained weights are saved in."""
