"""A contact sheet of annotated images: each one as displayed, and as augmented by a recipe on the canvas."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from reskeras.data.batches import examples
from reskeras.data.broken import reading_failure
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.shard_rows import Rows
from reskeras.data.source import Source
from reskeras.files import atomic_file
from reskeras.recipes.recipe import Recipe
from reskeras.report.styles import INK, PAPER
from reskeras.tasks.detection.augmented import Marked, first_batch, marked, marks_of
from reskeras.tasks.detection.canvas import Canvases
from reskeras.tasks.detection.drawn_boxes import draw_boxes, enlarged
from reskeras.tasks.detection.feed import DetectionFeed, TrainingCanvases
from reskeras.tasks.detection.job import DetectorJob
from reskeras.tasks.detection.objects import IGNORED, Objects
from reskeras.training.strategy import open_replicas

if TYPE_CHECKING:
    from PIL import Image as Picture

ROWS, VERSIONS = 6, 3
SIDE, GAP, TEXT = 400, 8, 12  # pixels
HEADING = 34
ACROSS = 3  # images of a batch side by side


def object_sheet(
    path: Path,
    source: Source[Objects],
    recipe: Recipe,
    height: int,
    width: int,
    sides: tuple[float, float] | None = None,
) -> None:
    """Write a PNG: a row for each of at most six training images, with its annotations; first as displayed, then three
    augmented versions on a canvas of that size, which they fit or have `sides` on, as in Canvases. Ignored objects are
    dashed.

    Raises ReskerasError when the recipe is not for detectors, an image cannot be read, or the file cannot be written.
    """
    try:
        indices = chosen_images(source.training_images("data"), len(source.classes))
        columns = [_stored(source, indices), *_versions(source, indices, recipe, Canvases(((height, width),), sides))]
    except tf.errors.OpError as error:
        raise reading_failure(error) from error
    _write(path, columns, ["original", f"augmented, on a canvas of {height}x{width}"])


def batch_sheet(path: Path, job: DetectorJob) -> None:
    """Write a PNG: the first images of the first batch that a detector is trained on, as it gets them. Ignored objects
    are dashed.

    Raises ReskerasError where the training would, when an image cannot be read, or the file cannot be written.
    """
    job.plan  # noqa: B018 - refuses what does not fit
    subject = job.subject(_unmeasured(job.source, Canvases.of(job.lowered)))
    subject.measure.check(job.recipe)
    feed = subject.feed(job.recipe, open_replicas("one"))
    try:
        found = first_batch(feed)
    except tf.errors.OpError as error:
        raise reading_failure(error, feed.broken_image(0, 0)) from error
    across = min(ACROSS, len(found))
    _write(path, [found[column::across] for column in range(across)], ["first batch"])


def _unmeasured(source: Source[Objects], canvases: Canvases) -> Preprocessing:
    """A normalisation that measures nothing on the images."""
    return Preprocessing.fit(source.training_images("data").images(), *canvases.hull, source.channels, "scale")


def _write(path: Path, columns: list[list[Marked]], titles: list[str]) -> None:
    pictures = [
        [draw_boxes(*enlarged(pixels, marks, SIDE), text=TEXT) for pixels, marks in column] for column in columns
    ]
    with atomic_file(path) as beside:
        _arranged(pictures, titles).save(beside, format="PNG")


def chosen_images(split: Objects, classes: int) -> np.ndarray:
    """Ascending int64 indices of at most ROWS images: for some evenly spaced classes each the first image that is not
    chosen yet, then evenly spaced others."""
    owner, chosen = np.repeat(np.arange(split.count), np.diff(split.starts)), []
    for label in np.unique(np.linspace(0, classes - 1, min(classes, ROWS)).astype(int)):
        images = owner[(split.labels == label) & ~split.ignored]
        chosen += [index for index in images.tolist() if index not in chosen][:1]
    others = np.linspace(0, split.count - 1, min(split.count, 2 * ROWS)).astype(int)
    chosen += [index for index in dict.fromkeys(others.tolist()) if index not in chosen]
    return np.sort(np.array(chosen[:ROWS], np.int64))


def _stored(source: Source[Objects], indices: np.ndarray) -> list[Marked]:
    train = source.training_images("data")
    images = examples(train.images(), indices)
    return [
        (image.numpy(), marks_of(boxes, np.where(ignored, IGNORED, labels), source.classes))
        for (boxes, labels, ignored), (image, _) in zip(map(train.rows, indices), images, strict=True)
    ]


def _versions(source: Source[Objects], indices: np.ndarray, recipe: Recipe, canvases: Canvases) -> list:
    """For each version the canvases, uint8, with their marks, by image."""
    preprocessing = _unmeasured(source, canvases)
    whole = recipe.model_copy(update={"holdout": 0.0, "images": None})
    feed = DetectionFeed(whole, source, preprocessing, open_replicas("one"), canvases)
    batch = TrainingCanvases(feed, Rows(0, len(indices), len(indices)))
    columns = []
    for version in range(VERSIONS):
        inputs, _ = batch(tf.constant(indices), tf.constant([recipe.seed, version], tf.int32), tf.constant(version))
        columns.append(marked(inputs, preprocessing, source.classes))
    return columns


def _arranged(columns: list, titles: list[str]) -> Picture.Image:
    """The columns in one picture, with titles above the first ones."""
    from PIL import Image, ImageDraw, ImageFont

    heights = [max(picture.height for picture in row if picture) for row in zip_longest(*columns)]
    widths = [max(picture.width for picture in column) for column in columns]
    sheet = Image.new(
        "RGB", (sum(widths) + GAP * (len(widths) + 1), HEADING + sum(heights) + GAP * (len(heights) + 1)), PAPER
    )
    draw, left = ImageDraw.Draw(sheet), GAP
    for place, (column, width) in enumerate(zip(columns, widths, strict=True)):
        if place < len(titles):
            draw.text((left, GAP // 2), titles[place], INK, ImageFont.load_default(HEADING - GAP))
        top = HEADING + GAP
        for picture, height in zip(column, heights, strict=False):  # the last ones may be shorter
            sheet.paste(picture, (left, top))
            top += height + GAP
        left += width + GAP
    return sheet
