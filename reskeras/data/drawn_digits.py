"""Scenes of handwritten digits on a background, with the boxes of their ink: images to find objects in, from nothing
but scikit-learn's digits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

CHANNELS = 3
FULL = 16  # the strongest ink of scikit-learn's digits
FAINT = 0.25  # ink that is weaker than this share of the strongest is not drawn
DARK, LIGHT = 100, 160  # backgrounds are below, inks above, in each channel, of 0..255
GRAIN = 8  # of the background, in levels
MARGIN = 2  # pixels between two digits
TRIES = 30  # places that are tried for a digit


@dataclass(frozen=True)
class Scene:
    """`image` uint8 (height, width, 3); `boxes` float32 (k, 4), top, left, bottom, right of the ink of each digit in
    pixels; `chosen` int64 (k,), which of the digits each is."""

    image: np.ndarray
    boxes: np.ndarray
    chosen: np.ndarray


def drawn_scene(
    random: np.random.Generator,
    digits: np.ndarray,
    behind: np.ndarray,
    objects: tuple[int, int],
    sides: tuple[float, float],
) -> Scene:
    """A scene with some of `digits`, (n, 8, 8) in 0..16, on what is `behind` them, uint8 (height, width, 3): as many
    as `random` says, from the first to the second of `objects`, their longer sides of `sides[0]` to `sides[1]` of the
    image's shorter one.

    Digits do not touch; one that finds no room is left out, but never the first.
    """
    image, boxes, chosen = behind.copy(), list[list[int]](), list[int]()
    size = image.shape[0], image.shape[1]
    least, most = np.log(sides).tolist()
    shares = np.exp(random.uniform(least, most, int(random.integers(objects[0], objects[1] + 1))))
    for share in sorted(shares.tolist(), reverse=True):  # small ones find room between large ones
        one = int(random.integers(len(digits)))
        ink = inked(digits[one], round(share * min(size)))
        colour = random.integers(LIGHT, 256, CHANNELS)
        corner = _room(random, ink.shape, size, boxes)
        if corner is not None:
            boxes.append(draw(image, ink, corner, colour))
            chosen.append(one)
    return Scene(image, np.array(boxes, np.float32), np.array(chosen, np.int64))


def background(random: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A dark gradient with grain, uint8 (height, width, 3)."""
    corners = random.uniform(GRAIN, DARK - GRAIN, (2, 2, CHANNELS))
    down, across = (np.linspace(0, 1, length)[:, np.newaxis] for length in size)
    edges = corners[0] + (corners[1] - corners[0]) * across[:, :, np.newaxis]
    left, right = edges[:, :1].transpose(1, 0, 2), edges[:, 1:].transpose(1, 0, 2)
    grey = left + (right - left) * down[:, :, np.newaxis]
    return np.clip(grey + random.uniform(-GRAIN, GRAIN, grey.shape), 0, DARK).astype(np.uint8)


def inked(digit: np.ndarray, side: int) -> np.ndarray:
    """The ink of a digit (8, 8) in 0..16, cut to what is drawn, its longer side scaled to about `side` pixels: float32
    (height, width) in 0..1, where no outer row or column is empty."""
    cut = _cut(digit.astype(np.float32) / FULL)
    height, width = (max(round(side * length / max(cut.shape)), 1) for length in cut.shape)
    levels = Image.fromarray(np.round(255 * cut).astype(np.uint8))
    return _cut(np.asarray(levels.resize((width, height), Image.Resampling.BILINEAR), np.float32) / 255)


def _cut(ink: np.ndarray) -> np.ndarray:
    ink = np.where(ink < FAINT, 0, ink)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def draw(image: np.ndarray, ink: np.ndarray, corner: tuple[int, int], colour: np.ndarray) -> list[int]:
    """Draw `ink` in `colour` on `image` with its top left at `corner`; returns the box that it fills."""
    (top, left), (height, width) = corner, ink.shape
    place = image[top : top + height, left : left + width]
    share = ink[:, :, np.newaxis]
    place[:] = np.round(place * (1 - share) + colour * share).astype(np.uint8)
    return [top, left, top + height, left + width]


def _room(
    random: np.random.Generator, ink: tuple[int, ...], size: tuple[int, int], boxes: Sequence[Sequence[int]]
) -> tuple[int, int] | None:
    """A random corner where a digit of size `ink` touches none of `boxes`."""
    for _ in range(TRIES):
        top, left = (int(random.integers(whole - own + 1)) for whole, own in zip(size, ink, strict=True))
        apart = (
            top >= box[2] + MARGIN
            or top + ink[0] + MARGIN <= box[0]
            or left >= box[3] + MARGIN
            or left + ink[1] + MARGIN <= box[1]
            for box in boxes
        )
        if all(apart):
            return top, left
    return None
