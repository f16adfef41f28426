"""`digits-loc`: one handwritten digit of scikit-learn's on each image, with its box; no network is needed."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from reskeras.data.drawn_digits import DARK, background
from reskeras.data.purpose import Purpose
from reskeras.errors import ReskerasError
from reskeras.tasks.detection.cleaning import AnnotatedSet
from reskeras.tasks.detection.digits_boxes import Behind, Scenes, annotated_digits, digits_set

SIZE = (64, 64)
SCENES = Scenes({"train": 2000, "test": 500}, SIZE, (1, 1), (0.15, 0.8), seed=1512_03385)
LEAST = 0.5  # of a CIFAR image's side that a crop has


def read_digits_loc(name: str = "digits-loc", purpose: Purpose = Purpose()) -> AnnotatedSet:
    """2,000 training and 500 test images of 64x64 pixels, each with one digit of 15 to 80% of its side, light on dark,
    the box that of its ink; always the same ones. They are on darkened random crops of CIFAR-10's training and test
    images, if these are prepared in the purpose's `data_dir`, else on made backgrounds. The digits of test images are
    the test images of `digits`."""
    behind = _cifar(purpose.data_dir) if purpose.data_dir else None
    words = "digits on crops of CIFAR-10" if behind else "digits on made backgrounds"
    scenes = annotated_digits(SCENES, behind) if behind else _plain()
    return digits_set(name, words, scenes)


@lru_cache(maxsize=1)
def _plain() -> tuple:
    return annotated_digits(SCENES, lambda split, random: background(random, SIZE))


def _cifar(data_dir: str | Path) -> Behind | None:
    """A darkened crop of one of CIFAR-10's images; None where they are not prepared in `data_dir`."""
    from reskeras.data.prepared import open_prepared

    try:
        source = open_prepared("cifar10", Purpose(data_dir))
    except ReskerasError:
        return None
    splits = {"train": source.training_images("train"), "test": source.test}

    def behind(split: str, random: np.random.Generator) -> np.ndarray:
        images = splits[split]
        image, _ = images.example(tf.constant(int(random.integers(images.count)), tf.int64))
        pixels = np.asarray(image)
        side = round(len(pixels) * float(random.uniform(LEAST, 1)))
        top, left = (int(random.integers(len(pixels) - side + 1)) for _ in range(2))
        crop = Image.fromarray(pixels[top : top + side, left : left + side])
        large = np.asarray(crop.resize(SIZE[::-1], Image.Resampling.BILINEAR), np.float32)
        return np.round(large * (DARK / 255)).astype(np.uint8)

    return behind
