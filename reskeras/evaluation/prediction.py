"""Class probabilities of image files, with the run's preprocessing, in float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from reskeras.data.decode import decode_file, with_channels
from reskeras.data.given import Picture
from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.evaluation.heads import SOFTMAX, Head
from reskeras.evaluation.views import forward
from reskeras.graph.spread import inference_devices
from reskeras.printable import short_repr

BATCH = 32


@dataclass(frozen=True)
class Prediction:
    """The most likely classes of an image file, best first, as (class name, probability); maybe none of a multi-label
    classifier."""

    path: str
    top: tuple[tuple[str, float], ...]

    def __repr__(self) -> str:
        return short_repr(self, self.path, *(f"{name} {share:.2%}" for name, share in self.top[:3]))


def predict_files(
    model: keras.Model,
    preprocessing: Preprocessing,
    classes: Sequence[str],
    paths: Sequence[str | Path | Picture],
    top: int = 5,
    broken: Callable[[str, ReskerasError], None] | None = None,
    threshold: float = 0.0,
    head: Head = SOFTMAX,
) -> list[Prediction]:
    """Predictions for `paths`, in order: the `top` classes whose probability by `head` is `threshold` or more.

    A file that cannot be read raises a ReskerasError that names it; with `broken`, which is called with the path and
    the error, the others are still predicted.
    """
    run, predictions = forward(model, inference_devices()), []
    for start in range(0, len(paths), BATCH):
        batch, images = [], []
        for path in paths[start : start + BATCH]:
            try:
                images.append(preprocessing.fit_image(_pixels(path, preprocessing.channels)))
                batch.append(path)
            except ReskerasError as error:
                if broken is None:
                    raise
                broken(str(path), error)
        if not batch:
            continue
        probabilities = head.probabilities(run(preprocessing.normalise(tf.stack(images)))).numpy()
        for path, row in zip(batch, probabilities, strict=True):
            best = [index for index in row.argsort()[::-1][:top] if row[index] >= threshold]
            predictions.append(Prediction(str(path), tuple((classes[index], float(row[index])) for index in best)))
    return predictions


def _pixels(image: str | Path | Picture, channels: int) -> tf.Tensor:
    """uint8 (height, width, channels) of a file, or of an image in memory."""
    if isinstance(image, Picture):
        return with_channels(tf.constant(image.pixels), channels)
    return decode_file(image, channels)
