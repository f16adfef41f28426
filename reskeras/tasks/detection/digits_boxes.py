"""`digits-boxes`: scikit-learn's handwritten digits, several on one image, with their boxes; no network is needed."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
import tensorflow as tf
from PIL import Image

from reskeras.data.digits import TEST_SHARE
from reskeras.data.division import divided_by_position
from reskeras.data.drawn_digits import drawn_scene
from reskeras.data.purpose import Purpose
from reskeras.tasks.detection.cleaning import Annotated, AnnotatedSet
from reskeras.tasks.detection.objects import Read

COUNTS = {"train": 900, "test": 100}
SIZE = (96, 96)
OBJECTS = (1, 5)  # on an image; of five some find no room
SIDES = (0.15, 0.6)  # a digit's longer side, of the image's
SEED = 1506_01497


def read_digits_boxes(name: str = "digits-boxes", purpose: Purpose = Purpose()) -> AnnotatedSet:
    """900 training and 100 test images of 96x96 pixels, each with one to five digits of 15 to 60 % of its side, light
    on dark; always the same ones, whatever the purpose. Boxes are those of the ink. The digits of test images are the
    test images of `digits`."""
    train, test = _scenes()
    return AnnotatedSet(
        name,
        "digits with boxes",
        tuple(str(digit) for digit in range(10)),
        list(train),
        list(test),
        "digits that are the test images of digits",
        _reader,
        mirror=False,  # a mirrored 2 is not a 2
    )


@lru_cache(maxsize=1)
def _scenes() -> tuple[tuple[Annotated, ...], ...]:
    """The images of both splits."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    parts = dict(zip(COUNTS, divided_by_position(digits.target, TEST_SHARE), strict=True))
    return tuple(
        tuple(
            _annotated(f"{split}-{index:04}", np.random.default_rng([SEED, number, index]), digits, parts[split])
            for index in range(count)
        )
        for number, (split, count) in enumerate(COUNTS.items())
    )


def _annotated(name: str, random: np.random.Generator, digits: dict, part: np.ndarray) -> Annotated:
    scene = drawn_scene(random, digits["images"][part], SIZE, OBJECTS, SIDES)
    file, none = io.BytesIO(), np.zeros(len(scene.boxes), bool)
    Image.fromarray(scene.image).save(file, "PNG", compress_level=0)  # kept in memory, made every time
    return Annotated(
        id=name,
        where=name,
        stored=file.getvalue(),
        size=SIZE,
        boxes=scene.boxes.astype(np.float64),
        names=tuple(str(label) for label in digits["target"][part][scene.chosen]),
        ignored=none,
        crowd=none,
        format="PNG",
    )


def _reader(files: list[bytes]) -> Read:
    """`Objects.read` for images that are in memory."""
    with tf.init_scope():
        stored = tf.constant(files)
    return lambda index: tf.gather(stored, index)
