"""The three ways in which published weights want their pixels, by keras.applications' names for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reskeras.data.decode import Framing
from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import unknown

CENTRE = Framing(224 / 256)  # published accuracies are of the centre of a slightly larger image


@dataclass(frozen=True)
class Normalise:
    """Mean and deviation of each channel (red, green, blue) on the 0..255 scale. With `reverse` the weights want blue
    first; a port turns its first convolution around instead."""

    kind: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    reverse: bool = False

    def preprocessing(self, height: int, width: int, channels: int) -> Preprocessing:
        """As a run keeps it; a grey image gets the mean of the three."""
        mean, std = (np.asarray(values, np.float32) for values in (self.mean, self.std))
        if channels != len(mean):
            mean, std = (np.full(channels, values.mean(), np.float32) for values in (mean, std))
        return Preprocessing(height, width, channels, self.kind, mean, std, CENTRE)


NORMALISE = {
    "caffe": Normalise("per_channel", (123.68, 116.779, 103.939), (1.0, 1.0, 1.0), reverse=True),
    "tf": Normalise("scale", (127.5,) * 3, (127.5,) * 3),
    "torch": Normalise("per_channel", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}


def normalise(name: str) -> Normalise:
    """One of the three; ReskerasError for another."""
    if name not in NORMALISE:
        raise unknown("normalise", name, NORMALISE)
    return NORMALISE[name]
