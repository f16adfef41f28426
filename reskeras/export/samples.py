"""Real images that artefacts are measured on, of each class alike."""

from __future__ import annotations

import numpy as np

from reskeras.data.pipeline import evaluation_images
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.sample import part_of_each_class
from reskeras.data.source import Split
from reskeras.errors import ReskerasError

REPRESENTATIVE = 200  # training images that ranges of activations are measured on


def images_of_each_class(split: Split, preprocessing: Preprocessing, count: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images (n, height, width, channels), int32 labels (n,): `count`, or all there are, of each class alike."""
    if count < 1:
        raise ReskerasError(f"representative: {count}: should be at least 1")
    part = part_of_each_class(split, count)
    return evaluation_images(part, preprocessing, part.count)
