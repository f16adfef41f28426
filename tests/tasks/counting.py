"""A third task, as small as one can be: how many squares are in an image. It says nothing that tasks have in common."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf

from reskeras.data.pipeline import evaluation_batches
from reskeras.data.source import Source, Split
from reskeras.graph.compile import Context, compile_plan
from reskeras.networks.catalog import name_of
from reskeras.networks.request import network
from reskeras.plans.plan_data import unit_data
from reskeras.report.provenance import provenance_of
from reskeras.report.sections import Page, Table
from reskeras.tasks.classification.feed import Feed
from reskeras.tasks.run import Run
from reskeras.tasks.task import Task
from reskeras.training.job import Job
from reskeras.training.optimizer import optimizer_of
from reskeras.training.subject import Measure
from reskeras.training.trained_model import TrainedModel

SIDE, MOST = 16, 4


def open_squares(count, purpose):
    """`squares:N`: N training images and as many for test, each with 0 to 4 squares; the label is how many."""

    def split(name, seed):
        draws = np.random.default_rng(seed)
        labels = draws.integers(0, MOST + 1, int(count)).astype(np.int32)
        images = np.zeros((int(count), SIDE, SIDE, 1), np.uint8)
        for image, label in zip(images, labels, strict=True):
            for place in draws.permutation(16)[:label]:
                top, left = 4 * (place // 4), 4 * (place % 4)
                image[top : top + 3, left : left + 3] = 255
        pixels, counts = tf.constant(images), tf.constant(labels)
        return Split(
            name,
            int(count),
            lambda index: (tf.gather(pixels, index), tf.gather(counts, index)),
            label=lambda index: tf.gather(counts, index),
        )

    return Source("squares", "squares", ("squares",), 1, split("train", 1), split("test", 2), facts={"squares": count})


COUNTED = Measure(
    score=lambda logs: (-float(logs["val_loss"]),),
    watched_error=lambda logs: float(logs["val_loss"]),
    training_error=None,
    shown=(("loss", "loss", ".3f"), ("mae", "error", ".2f")),
)


@dataclass(frozen=True)
class Counter:
    """What is trained: one logit, which is the number of squares."""

    plan: object
    name: str
    source: Source
    preprocessing: object
    measure: Measure = COUNTED

    def described(self):
        return {"units": [unit_data(unit) for unit in self.plan.units], "input": self.plan.input_shape}

    def feed(self, recipe, replicas):
        return Feed(recipe, self.source, self.preprocessing, replicas)

    def compiled(self, recipe, steps, synchronized=False):
        model = compile_plan(self.plan, self.name, Context(seed=recipe.seed), model_class=TrainedModel)
        model.compile(optimizer=optimizer_of(model, recipe, steps), loss="mse", metrics=["mae"], jit_compile=False)
        return model

    def judge(self, feed):
        return None

    def saved(self):
        return compile_plan(self.plan, self.name)


class CounterJob(Job):
    task: ClassVar[str] = "counting"
    command: ClassVar[tuple[str, ...]] = ("reskeras", "train", "--task", "counting")

    def subject(self, preprocessing):
        return Counter(self.plan, name_of(self.spec), self.source, preprocessing)


@dataclass(frozen=True)
class Counted:
    """The mean error of the counts of so many images."""

    images: int
    mean_error: float

    def as_dict(self):
        return {"images": self.images, "mean_error": self.mean_error}


class CounterRun(Run):
    task: ClassVar[str] = "counting"

    @property
    def plan(self):
        return self.folder.spec().lower()

    def judge(self, source, images):
        model, errors = self.model(), []
        for pixels, labels in evaluation_batches(images, self.preprocessing(), 32).dataset:
            errors.append(np.abs(model(pixels).numpy()[:, 0] - labels.numpy()))
        return Counted(images.count, float(np.concatenate(errors).mean()))


class Counting(Task):
    name: ClassVar[str] = "counting"
    noun: ClassVar[str] = "counter"
    annotation: ClassVar[str] = "counts"

    def spec(self, source=None, *, settings=(), **fields):
        return network(source, settings=settings, **fields)

    def name_of(self, spec):
        return name_of(spec)

    def job(self, spec, recipe, source, data_dir):
        return CounterJob(spec, recipe, source, data_dir)

    def run_type(self):
        return CounterRun

    def page(self, runs):
        rows = [[run.name, f"{run.evaluation.mean_error:.2f}" if run.evaluation else ""] for run in runs]
        return Page(
            "Counters",
            "squares",
            [
                Table("Summary", ["run", "mean error"], rows, "Of test images."),
                *(provenance_of(run.provenance, run.path, "") for run in runs),
            ],
        )
