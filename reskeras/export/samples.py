"""Real images for verification and calibration of artefacts, stratified by class."""

from __future__ import annotations

import numpy as np

from reskeras.data.pipeline import evaluation_images
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.sample import part_of_each_class
from reskeras.data.source import Split
from reskeras.errors import ReskerasError

REPRESENTATIVE = 200  # training images for calibrating the ranges of activations


def images_of_each_class(split: Split, preprocessing: Preprocessing, count: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images (n, height, width, channels) and int32 labels (n,): at most `count`, stratified by class."""
    if count < 1:
        raise ReskerasError(f"representative: {count}: should be at least 1")
    part = part_of_each_class(split, count)
    return evaluation_images(part, preprocessing, part.count)
