"""Measures images per second: of training steps on a repeated batch, and of the input pipeline alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from reskeras.data.broken import READING_ERRORS, reading_failure
from reskeras.data.preprocessing import Preprocessing
from reskeras.diagnosis.facts import Speed
from reskeras.errors import ReskerasError, first_line
from reskeras.plans.plan import Plan
from reskeras.recipes.recipe import Recipe
from reskeras.recipes.sizes import at_largest
from reskeras.tasks.classification.subject import compiled
from reskeras.training.job import Job
from reskeras.training.memory import memory_failures
from reskeras.training.step_callbacks import StepCallback, StepCallbacks
from reskeras.training.strategy import Replicas, open_replicas
from reskeras.training.subject import Subject

SECONDS = 3.0  # that each measurement takes, besides starting
MOST_STEPS = 2000
WARM_UP = 3  # steps; the first compiles
LENGTH = 1000  # steps of a training, which the learning rate follows
EPOCHS = 100_000  # more than a measurement reads
SMALL = 32  # images of a measured step without a GPU, where larger batches are hardly faster


class Clock(StepCallback):
    """`seconds` from the begin of the first step of a `fit` to the end of its last one, on the device too."""

    began = ended = 0.0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Note the time before the first step."""
        self.began = time.perf_counter() if batch == 0 else self.began

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Wait for the device: a step on a GPU returns before it is done."""
        if batch == self.params["steps"] - 1:
            self.model.trainable_variables[-1].numpy()
            self.ended = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds of all steps."""
        return self.ended - self.began


def seconds_of(model: keras.Model, batches: Any, steps: int) -> float:
    """Seconds of `steps` steps of a compiled model on a dataset that does not end, without starting and finishing."""
    clock = Clock()
    callbacks = StepCallbacks([clock], model, 1, steps)
    model.fit(batches, epochs=1, steps_per_epoch=steps, verbose=0, shuffle=False, callbacks=callbacks)
    return clock.seconds


def repeated_batch(*batch: Any) -> tf.data.Dataset:
    """A dataset of one batch, its images and labels or whatever parts it has, without end."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.from_tensors(batch).repeat().prefetch(2).with_options(options)


def timed_steps(speed: Speed, plan: Plan, recipe: Recipe, replicas: Replicas, batch: int) -> Speed:
    """`speed` with that of steps on `batch` images, or fewer without a GPU; or with the reason why a step fails."""
    if speed.shared and batch > SMALL:
        batch = max(SMALL - SMALL % replicas.count, replicas.count)
    try:
        with memory_failures(recipe):
            return replace(speed, step=step_rate(plan, recipe, replicas, batch), step_batch=batch)
    except (ReskerasError, tf.errors.OpError) as error:
        return replace(speed, failure=first_line(error))


def step_rate(plan: Plan, recipe: Recipe, replicas: Replicas, batch: int) -> float:
    """Images per second of training steps on one random batch of `batch` images of the largest size that the recipe
    trains on, over the replicas of this machine.

    Raises what TensorFlow raises when a step fails.
    """
    random, classes = np.random.default_rng(0), plan.output_shape[-1]
    images = random.normal(size=(batch, *at_largest(plan, recipe.sizes).input_shape)).astype(np.float32)
    labels = random.integers(0, classes, batch).astype(np.int32)
    targets = np.eye(classes, dtype=np.float32)[labels] if recipe.soft_labels else labels
    with replicas.strategy.scope():
        model = compiled(plan, "net", recipe, LENGTH, recipe.synchronises(replicas.count))
        specs = (tf.TensorSpec([None, *each.shape[1:]], each.dtype) for each in (images, targets))
        model.prepare(lambda *batch: batch, *specs)
    data = replicas.dataset(lambda part: repeated_batch(images, targets), batch)
    return steady_rate(lambda steps: seconds_of(model, data, steps), batch)


def training_rate(job: Job, replicas: Replicas) -> float:
    """Images per second of training steps of a job of any task, on one batch of its own images, of the largest size
    that it trains on, over the replicas of this machine.

    Raises what TensorFlow raises when a step fails, and as `input_rate` where an image cannot be read.
    """
    subject, recipe = _unmeasured(job), job.recipe
    feed = subject.feed(recipe, open_replicas("one"))
    last = feed.at(max(feed.changes, default=0))  # sizes grow
    try:
        batch = next(iter(last.training(0, 0, EPOCHS)))
    except READING_ERRORS as error:
        raise reading_failure(error, feed.broken_image(0, 0)) from error
    with replicas.strategy.scope():
        model = subject.compiled(recipe, LENGTH, recipe.synchronises(replicas.count))
        model.prepare(feed.finished, *feed.example())
        model.begin_size(last.finished)
    size = min(recipe.step_images, feed.train.count)
    data = replicas.dataset(lambda part: repeated_batch(*batch), size)
    return steady_rate(lambda steps: seconds_of(model, data, steps), size)


def _unmeasured(job: Job) -> Subject:
    """The subject of `job`; the mean of the training images is not measured for it, because scaling pixels costs the
    same."""
    height, width, channels = job.plan.input_shape
    return job.subject(Preprocessing.fit(job.source.training_images("data"), height, width, channels, "scale"))


def steady_rate(run: Callable[[int], float], images: int) -> float:
    """Images per second of `run`, which takes a number of steps of `images` images and gives their seconds: after a
    warm-up, over as many steps as take about SECONDS."""
    run(WARM_UP)
    steps = int(min(max(SECONDS / run(1), 1), MOST_STEPS))
    return images * steps / run(steps)


def input_rate(job: Job) -> float:
    """Images per second of the training pipeline of `job`, read as fast as it makes them. ReskerasError (status 1)
    names an image that cannot be read."""
    feed = _unmeasured(job).feed(job.recipe, open_replicas("one"))
    batches, size = iter(feed.at(0).training(0, 0, EPOCHS)), min(job.recipe.step_images, feed.train.count)
    try:
        for _ in range(WARM_UP):  # made together with the first
            next(batches)
        began, count = time.perf_counter(), 0
        while (taken := time.perf_counter() - began) < SECONDS or not count:
            next(batches)
            count += 1
    except READING_ERRORS as error:
        raise reading_failure(error, feed.broken_image(0, 0)) from error
    return count * size / taken if taken else float("inf")
