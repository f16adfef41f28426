"""A contact sheet: images of some classes next to augmented versions by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.data.batches import examples
from reskeras.data.class_labels import are_of_class
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Source, Split
from reskeras.data.survey import labels_of, spaced
from reskeras.data.training_batch import TrainingBatch
from reskeras.printable import printable
from reskeras.recipes.recipe import Recipe
from reskeras.report.fonts import shortened
from reskeras.report.styles import QUIET, SMALL, styled

ROWS, VERSIONS = 8, 6
NORMALISED_BY = 500  # training images that the mean is measured on
CELL = 1.35  # inches of the width of an image, and of its height at most
COARSE = 100  # pixels; below, each pixel is drawn as a square
NAMES, NOTES = SMALL, 9  # fonts, of the sheet at its own size


def contact_sheet(path: Path, source: Source[Split], recipe: Recipe, height: int, width: int) -> None:
    """Write a PNG: a row for each of at most eight classes, with an original image and six augmented versions at the
    network's size. Raises ReskerasError when the recipe cannot be used on these images or the file cannot be written.
    """
    _draw(path, source, *_images(source, recipe, height, width), recipe.augment.mixes)


def _images(source: Source[Split], recipe: Recipe, height: int, width: int) -> tuple[list, np.ndarray, list]:
    """The original images, their labels, and for each column the pixels (rows, height, width, channels), uint8, with
    the mixed labels (rows, classes)."""
    train = source.training_images("data")
    indices, labels = _one_of_each(train, len(source.classes))
    few = train.part("train", spaced(train, NORMALISED_BY))
    preprocessing = Preprocessing.fit(few, height, width, source.channels, recipe.normalise)
    batch = TrainingBatch(
        train,
        preprocessing,
        recipe.augment,
        mirror=source.mirror,
        batch_size=len(indices),
        classes=len(source.classes),
        seed=recipe.seed,
    )
    originals = [image.numpy() for image, _ in examples(train, indices)]  # a broken one is reported by name
    versions = []
    for column in range(VERSIONS):
        seed = tf.constant([recipe.seed, column], tf.int32)
        images, targets = batch.finished(*batch(tf.constant(indices), seed, column))
        pixels = images.numpy() * preprocessing.std + preprocessing.mean
        versions.append((pixels.clip(0, 255).round().astype(np.uint8), targets.numpy()))
    return originals, labels, versions


def _one_of_each(split: Split, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (int64) of an image of each class shown, and the labels: all classes, or evenly spaced ones."""
    indices, labels = labels_of(split)
    shown = np.unique(np.linspace(0, classes - 1, min(classes, ROWS)).astype(int))
    of_class = {label: are_of_class(labels, label) for label in shown}
    found = [(indices[those][0], label) for label, those in of_class.items() if those.any()]
    return np.array([index for index, _ in found], np.int64), np.array([label for _, label in found])


@styled
def _draw(path: Path, source: Source[Split], originals: list, labels: np.ndarray, versions: list, mixes: bool) -> None:
    from reskeras.report.figures import Figure, save_figure

    rows, columns = len(originals), VERSIONS + 1
    size = versions[0][0].shape[1:3]
    shapes = {original.shape[:2] for original in originals}
    cell = CELL * min(1.0, max(height / width for height, width in (*shapes, size)))
    figure = Figure(CELL * (columns + 0.9), (cell + (0.2 if mixes or len(shapes) > 1 else 0.06)) * rows + 0.55, dpi=160)
    axes = figure.subplots(rows, columns, squeeze=False)
    for row, (original, label) in enumerate(zip(originals, labels, strict=True)):
        _cell(axes[row][0], original)
        axes[row][0].set_ylabel(
            shortened(printable(source.classes[label]), 16),
            rotation=0,
            ha="right",
            va="center",
            fontsize=NAMES,
            labelpad=8,
        )
        if len(shapes) > 1:
            axes[row][0].set_xlabel(_side_by_side(original.shape), fontsize=NOTES, color=QUIET, labelpad=2)
        for column, (images, targets) in enumerate(versions, 1):
            _cell(axes[row][column], images[row])
            if mixes:
                axes[row][column].set_xlabel(
                    _shares(targets[row], source.classes), fontsize=NOTES, color=QUIET, labelpad=2
                )
    stored = "original" if len(shapes) > 1 else f"original, {_side_by_side(*shapes)}"
    for column, title in enumerate((stored, f"augmented, {_side_by_side(size)}")):
        axes[0][column].set_title(title, fontsize=NAMES)
    save_figure(figure, path, "png")


def _cell(axes: Any, image: np.ndarray) -> None:
    axes.grid(visible=False)
    small = max(image.shape[:2]) < COARSE
    axes.imshow(
        image.squeeze(-1) if image.shape[-1] == 1 else image,
        cmap="gray",
        vmin=0,
        vmax=255,
        interpolation="nearest" if small else "antialiased",
    )
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)


def _side_by_side(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]}"


def _shares(target: np.ndarray, classes: tuple[str, ...]) -> str:
    """The classes of a mixed image with their shares, largest first."""
    shown = [label for label in np.argsort(-target, kind="stable")[:2] if target[label] >= 0.005]
    return ", ".join(f"{target[label]:.0%} {shortened(printable(classes[label]), 11)}" for label in shown)
