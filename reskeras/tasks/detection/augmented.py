"""Training images as a network gets them, augmented and on canvases, with their boxes: for sheets and pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Source
from reskeras.errors import ReskerasError
from reskeras.printable import counted
from reskeras.recipes.recipe import Recipe
from reskeras.report.sections import Gallery, Image, photograph
from reskeras.report.styles import FAINT
from reskeras.runs import RECIPE_FILE, RunFolder
from reskeras.tasks.detection.detections import box_of
from reskeras.tasks.detection.drawn_boxes import Mark, draw_boxes, enlarged, true_marks
from reskeras.tasks.detection.feed import DetectionFeed
from reskeras.tasks.detection.objects import IGNORED, PADDING, Objects
from reskeras.tasks.detection.placing import Inputs
from reskeras.tasks.run import Material

MOST = 9  # images of a batch that are shown
WIDE, SHARP, TEXT = 330, 3 / 2, 10  # pixels on the page, of a picture for each of these, and of the text
TOLD = (
    "Images as the network gets them, augmented. Objects with too little left in view are dashed: detecting them is "
    "neither right nor wrong."
)

Marked = tuple[np.ndarray, list[Mark]]  # uint8 (height, width, 3), and the boxes to draw


def first_batch(feed: DetectionFeed) -> list[Marked]:
    """At most MOST images of the first batch of a training. Raises what reading them raises."""
    inputs, _ = next(iter(feed.training(0, 0, 1)))
    return marked({name: values[:MOST] for name, values in inputs.items()}, feed.preprocessing, feed.source.classes)


def marked(inputs: Inputs, preprocessing: Preprocessing, classes: Sequence[str]) -> list[Marked]:
    """The images of a batch with the marks of their objects."""
    found = {name: inputs[name].numpy() for name in ("image", "boxes", "labels")}
    pixels = (found["image"] * preprocessing.std + preprocessing.mean).clip(0, 255).round().astype(np.uint8)
    return [
        (image, marks_of(boxes[labels != PADDING], labels[labels != PADDING], classes))
        for image, boxes, labels in zip(pixels, found["boxes"], found["labels"], strict=True)
    ]


def marks_of(boxes: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> list[Mark]:
    """Solid marks of objects, and dashed, unlabelled ones of those that are IGNORED."""
    ignored = labels == IGNORED
    return [
        *true_marks(boxes[~ignored], labels[~ignored], classes, dashed=False),
        *(Mark(box_of(box), FAINT, dashed=True) for box in boxes[ignored]),
    ]


def batches(
    runs: Sequence[Material], feed_of: Callable[[Material, Source[Objects], Recipe], DetectionFeed]
) -> Iterator[Gallery]:
    """For each run that was trained, and whose images can still be read, the first batch of its training."""
    for run in runs:
        if run.source is None or run.source.train is None or not (Path(run.path) / RECIPE_FILE).is_file():
            continue
        try:
            found = first_batch(feed_of(run, run.source, RunFolder(Path(run.path)).recipe()))
        except (ReskerasError, tf.errors.OpError):  # the page has more to show than what has changed since
            continue
        of = "" if len(runs) == 1 else f", {run.name}"
        yield Gallery(f"First training batch{of}", [_image(*each) for each in found], TOLD, WIDE)


def _image(pixels: np.ndarray, marks: list[Mark]) -> Image:
    picture = draw_boxes(*enlarged(pixels, marks, round(SHARP * WIDE)), text=round(SHARP * TEXT))
    objects = sum(not mark.dashed for mark in marks)
    return Image(photograph(picture), f"An augmented training image with {counted(objects, 'object')}")
