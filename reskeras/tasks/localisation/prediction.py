"""Where objects are in image files: which classes are asked for, and what is told of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from reskeras.errors import ReskerasError
from reskeras.tasks.detection.detections import Detection, ImageDetections, box_of
from reskeras.tasks.detection.finder import Broken, readable
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.localisation.rule import top
from reskeras.tasks.localisation.stages import LIKELIEST, Stages, chosen


@dataclass(frozen=True)
class Location(Detection):
    """The box of a class in an image. `score` is the probability that the box is on an object of the class, by the
    localiser or the mean of its refiners; `probability` that of the class by a classifier, None without one."""

    probability: float | None = None


@dataclass(frozen=True)
class Asked:
    """Which classes of an image are asked for: `labels`, or the `top` ones, by default one, by a classifier or by their
    boxes."""

    top: int | None
    labels: Sequence[int] | None
    by_classifier: bool

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if self.top is not None and self.top < 1:
            raise ReskerasError(f"top: {self.top}: should be at least 1")
        if self.labels is not None and self.top is not None:
            raise ReskerasError("top: every class that is named is looked for; leave out top or classes")
        if self.labels is not None and self.by_classifier:
            raise ReskerasError("classes: the classifier decides the classes of an image; leave out one of the two")


def opened_files(paths: Sequence[str], broken: Broken | None) -> Objects:
    """The image files that can be read, without objects. ReskerasError for others, or `broken` is called."""
    known = readable(paths, broken)
    count = len(known)
    files = tf.constant([os.fsencode(path) for path, _ in known], tf.string)
    return Objects(
        "images",
        tuple(str(path) for path, _ in known),
        np.array([size for _, size in known], np.int32).reshape(-1, 2),
        np.zeros(count + 1, np.int64),
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.int32),
        np.zeros(0, bool),
        np.zeros(0, bool),
        lambda index: tf.io.read_file(tf.gather(files, index)),
    )


def located_in(
    stages: Stages,
    images: Objects,
    classes: Sequence[str],
    asked: Asked,
    guesses: np.ndarray | None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> list[ImageDetections]:
    """Where objects of the classes that are `asked` for are in `images`; `guesses` are the log probabilities (n, C) of
    a classifier."""
    if not images.count:
        return []
    most = min(asked.top or 1, len(classes))
    if guesses is not None:
        labels = top(guesses, most)
        located = stages.located(images, chosen(labels, len(classes)), progress)
    elif asked.labels is not None:
        labels = np.tile(np.array(asked.labels), (images.count, 1))
        located = stages.located(images, chosen(labels, len(classes)), progress)
    else:
        located, known = stages.likeliest(images, max(most, LIKELIEST), progress)
        labels = top(np.where(known, located.scores[:, :, 0], -1.0), most)
    scores, boxes = located.scores[:, :, 0], located.boxes[:, :, 0]
    if guesses is None:
        order = np.argsort(-np.take_along_axis(scores, labels, axis=1), axis=1, kind="stable")
        labels = np.take_along_axis(labels, order, axis=1)

    def told(image: int, label: int) -> Location:
        probability = None if guesses is None else float(np.exp(guesses[image, label]))
        return Location(
            classes[label], float(scores[image, label]), box_of(boxes[image, label]), int(label), probability
        )

    finite = np.isfinite(scores) & np.isfinite(boxes).all(axis=-1)  # not those of a diverged network
    return [
        ImageDetections(
            str(path),
            (int(images.sizes[image, 0]), int(images.sizes[image, 1])),
            tuple(told(image, label) for label in labels[image] if finite[image, label]),
        )
        for image, path in enumerate(images.ids)
    ]
