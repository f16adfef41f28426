"""`digits-boxes`: scikit-learn's handwritten digits, several on one image, with their boxes; no network is needed."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import tensorflow as tf
from PIL import Image

from reskeras.data.digits import TEST_SHARE
from reskeras.data.division import divided_by_position
from reskeras.data.drawn_digits import background, drawn_scene
from reskeras.data.purpose import Purpose
from reskeras.tasks.detection.cleaning import Annotated, AnnotatedSet
from reskeras.tasks.detection.objects import Read


@dataclass(frozen=True)
class Scenes:
    """How many images each split has, their size, how many digits are on one (of five some find no room), and their
    longer sides, of the image's."""

    counts: Mapping[str, int]
    size: tuple[int, int]
    objects: tuple[int, int]
    sides: tuple[float, float]
    seed: int


SCENES = Scenes({"train": 900, "test": 100}, (96, 96), (1, 5), (0.15, 0.6), seed=1506_01497)
Behind = Callable[[str, np.random.Generator], np.ndarray]  # a background for an image of a split
Annotations = tuple[tuple[Annotated, ...], ...]  # the images of both splits


def read_digits_boxes(name: str = "digits-boxes", purpose: Purpose = Purpose()) -> AnnotatedSet:
    """900 training and 100 test images of 96x96 pixels, each with one to five digits of 15 to 60% of its side, light
    on dark; always the same ones, whatever the purpose. Boxes are those of the ink. The digits of test images are the
    test images of `digits`."""
    return digits_set(name, "digits with boxes", _scenes())


@lru_cache(maxsize=1)
def _scenes() -> Annotations:
    return annotated_digits(SCENES, lambda split, random: background(random, SCENES.size))


def digits_set(name: str, label: str, scenes: Annotations) -> AnnotatedSet:
    """Such images as a set."""
    train, test = scenes
    return AnnotatedSet(
        name,
        label,
        tuple(str(digit) for digit in range(10)),
        list(train),
        list(test),
        "digits that are the test images of digits",
        _reader,
        mirror=False,  # a mirrored 2 is not a 2
    )


def annotated_digits(scenes: Scenes, behind: Behind) -> Annotations:
    """The images of both splits, each on what is `behind` it."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    parts = dict(zip(scenes.counts, divided_by_position(digits.target, TEST_SHARE), strict=True))
    return tuple(
        tuple(
            _annotated(f"{split}-{index:04}", scenes, random, behind(split, random), digits, parts[split])
            for index in range(count)
            for random in [np.random.default_rng([scenes.seed, number, index])]
        )
        for number, (split, count) in enumerate(scenes.counts.items())
    )


def _annotated(
    name: str, scenes: Scenes, random: np.random.Generator, behind: np.ndarray, digits: dict, part: np.ndarray
) -> Annotated:
    scene = drawn_scene(random, digits["images"][part], behind, scenes.objects, scenes.sides)
    file, none = io.BytesIO(), np.zeros(len(scene.boxes), bool)
    Image.fromarray(scene.image).save(file, "PNG", compress_level=0)  # kept in memory, made every time
    return Annotated(
        id=name,
        where=name,
        stored=file.getvalue(),
        size=scenes.size,
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
