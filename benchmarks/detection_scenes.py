"""Scenes of real pieces with exact boxes, as a COCO folder: images to compare detectors on where pixels matter.

A piece is a photo of CIFAR-10 seen through a mask with soft edges, an ellipse or a round star, so that no edge of its
box is an edge of the picture; the background is another photo, enlarged and blurred. A box encloses what is seen of a
piece where its mask is at least half opaque: it is computed from outlines, not from pixels. Training scenes are made
of CIFAR-10's training photos, test scenes of its test photos.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

HEIGHT, WIDTH = 160, 192
IMAGES = {"train": 400, "test": 200}
SEED = 25
PHOTOS = 4_000  # of a split of CIFAR-10 that pieces are taken from, at most
SMALLEST, LARGEST = 12, 120  # sides of a piece, pixels
# outlines by class: lobes and their depth as a share of the radius; a network of some hundred photos tells classes
# apart by both, so that places decide about precision more than names do
OUTLINES = {"automobile": (0, 0.0), "frog": (3, 0.16), "ship": (4, 0.14), "horse": (5, 0.2)}
POINTS = 2_880  # of a line, at most a seventh of a pixel apart on outlines
# the share of such scenes, how many pieces they have, the sides of these, whether each touches another, and how near
# middles may be as a share of the pieces' mean size
KINDS = (
    (0.3, (1, 1), (SMALLEST, LARGEST), False, 0.0),
    (0.4, (2, 6), (20, 80), False, 0.4),
    (0.3, (8, 25), (SMALLEST, 36), True, 0.65),
)
TRIES = 30  # to find a place for a piece
OUTSIDE = 0.15  # of a piece's side that may be outside of the image
CROWD, UNSEEN = 0.5, 0.9  # covered share above which an object is marked as a crowd, and left out


@dataclass(frozen=True)
class Piece:
    """A piece of `label` in a scene: centre and size (height, width) in pixels, and how its outline is turned."""

    label: str
    photo: np.ndarray
    centre: np.ndarray
    size: np.ndarray
    turn: float

    def _unit(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points (POINTS, 2) of the outline of radius 1, and the middle and half the extent of these."""
        angles = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
        points = self._radius(angles)[:, np.newaxis] * np.stack([np.sin(angles), np.cos(angles)], axis=1)
        low, high = points.min(axis=0), points.max(axis=0)
        return points, (low + high) / 2, (high - low) / 2

    def _radius(self, angles: np.ndarray) -> np.ndarray:
        lobes, depth = OUTLINES[self.label]
        return 1 + depth * np.cos(lobes * angles + self.turn)

    def outline(self) -> np.ndarray:
        """Points (POINTS, 2) where the mask is half opaque, which extend over exactly its size."""
        points, middle, half = self._unit()
        return self.centre + (points - middle) / half * self.size / 2

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Roughly how many pixels points (..., 2) are inside of the outline; negative outside, 0 on it."""
        _, middle, half = self._unit()
        y, x = np.moveaxis((points - self.centre) / (self.size / 2) * half + middle, -1, 0)
        return (1 - np.hypot(y, x) / self._radius(np.arctan2(y, x))) * self.size.min() / 2

    def painted(self, canvas: np.ndarray) -> np.ndarray:
        """The canvas, float (HEIGHT, WIDTH, 3), with the piece on it."""
        corner = np.floor(self.centre - self.size / 2).astype(int)
        height, width = np.ceil(self.centre + self.size / 2).astype(int) - corner
        photo = np.asarray(Image.fromarray(self.photo).resize((int(width), int(height)), Image.Resampling.BICUBIC))
        layer = np.zeros_like(canvas)
        (top, left), (bottom, right) = (
            np.maximum(corner, 0),
            np.minimum(corner + np.array([height, width]), [HEIGHT, WIDTH]),
        )
        layer[top:bottom, left:right] = photo[
            top - corner[0] : bottom - corner[0], left - corner[1] : right - corner[1]
        ]
        softness = max(1.0, 0.04 * self.size.min())  # pixels
        alpha = np.clip(0.5 + self.depth(pixel_centres()) / softness, 0, 1)[..., np.newaxis]
        return canvas * (1 - alpha) + layer * alpha


def pixel_centres() -> np.ndarray:
    """The middles (HEIGHT, WIDTH, 2) of an image's pixels."""
    return np.stack(np.meshgrid(np.arange(HEIGHT) + 0.5, np.arange(WIDTH) + 0.5, indexing="ij"), axis=-1)


def border() -> np.ndarray:
    """Points (POINTS, 2) on the border of an image."""
    corners = np.array([[0, 0], [HEIGHT, 0], [HEIGHT, WIDTH], [0, WIDTH], [0, 0]])
    lengths = np.cumsum([0, HEIGHT, WIDTH, HEIGHT, WIDTH])
    along = np.linspace(0, lengths[-1], POINTS, endpoint=False)
    return np.stack([np.interp(along, lengths, corners[:, axis]) for axis in (0, 1)], axis=1)


def annotated(pieces: Sequence[Piece]) -> list[tuple[str, np.ndarray, bool]]:
    """Class, box (4,) and whether it is a crowd, of the pieces that are seen of those painted in this order."""
    # the extremes of what is seen of a piece lie on one of these lines: outlines, and the border of the image
    lines = np.stack([*(piece.outline() for piece in pieces), border()])
    inside = np.all((lines >= 0) & (lines <= [HEIGHT, WIDTH]), axis=-1)
    depths = np.stack([piece.depth(lines) for piece in pieces])
    depths[np.arange(len(pieces)), np.arange(len(pieces))] = 0.0  # a line is neither in nor outside of its own piece
    masks = np.stack([piece.depth(pixel_centres()) > 0 for piece in pieces])
    found = []
    for place, piece in enumerate(pieces):
        share = (masks[place] & masks[place + 1 :].any(axis=0)).sum() / masks[place].sum()
        if share > UNSEEN:
            continue
        seen = inside & (depths[place] >= 0)
        if share <= CROWD:  # of a crowd the box is the whole object's
            seen &= np.all(depths[place + 1 :] <= 0, axis=0)
        points = lines[seen]
        found.append((piece.label, np.concatenate([points.min(axis=0), points.max(axis=0)]), bool(share > CROWD)))
    return found


def scene(photos: dict[str, np.ndarray], generator: np.random.Generator) -> tuple[np.ndarray, list[Piece]]:
    """uint8 (HEIGHT, WIDTH, 3) and its pieces in the order in which they are painted, from photos by class."""
    kind = generator.choice(len(KINDS), p=[share for share, *_ in KINDS])
    _, (least, most), sides, touching, nearest = KINDS[kind]
    others = photos[str(generator.choice(sorted(set(photos) - set(OUTLINES))))]
    behind = Image.fromarray(others[generator.integers(len(others))]).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    canvas = np.asarray(behind.filter(ImageFilter.GaussianBlur(5)), np.float64)
    pieces: list[Piece] = []
    for _ in range(generator.integers(least, most + 1)):
        pieces.append(_piece(photos, generator, sides, pieces, touching, nearest))
        canvas = pieces[-1].painted(canvas)
    return np.round(canvas).astype(np.uint8), pieces


def _piece(
    photos: dict[str, np.ndarray],
    generator: np.random.Generator,
    sides: tuple[int, int],
    others: Sequence[Piece],
    touching: bool,
    nearest: float,
) -> Piece:
    """A piece anywhere, or next to another one."""
    label = list(OUTLINES)[generator.integers(len(OUTLINES))]
    side = np.exp(generator.uniform(*np.log(sides)))
    size = np.clip(side * np.exp(generator.uniform(-0.3, 0.3, 2)), SMALLEST, LARGEST)
    low, high = size * (0.5 - OUTSIDE), [HEIGHT, WIDTH] - size * (0.5 - OUTSIDE)
    for _ in range(TRIES):
        centre = generator.uniform(low, high)
        if touching and others:
            near, angle = others[generator.integers(len(others))], generator.uniform(0, 2 * np.pi)
            apart = (near.size + size) / 2 * generator.uniform(0.7, 1.1)
            centre = np.clip(near.centre + apart * [np.sin(angle), np.cos(angle)], low, high)
        if all(np.linalg.norm((centre - each.centre) / (each.size + size) * 2) >= nearest for each in others):
            break
    photo = photos[label][generator.integers(len(photos[label]))]
    return Piece(label, photo, centre, size, generator.uniform(-0.4, 0.4))


def photos_of(split: Any, classes: Sequence[str]) -> dict[str, np.ndarray]:
    """The first photos uint8 (n, 32, 32, 3) of a split of CIFAR-10 by class."""
    from reskeras.data.batches import examples

    found: dict[str, list[np.ndarray]] = {name: [] for name in classes}
    for image, label in examples(split, range(min(split.count, PHOTOS))):
        found[classes[int(label)]].append(image.numpy())
    return {name: np.stack(images) for name, images in found.items()}


def make(out: Path, data_dir: str) -> None:
    """Write the folder `out`, unless it is there: the same bytes from the same photos. Annotations are last, so that a
    folder with them is whole."""
    from reskeras.data.registry import open_source

    if all((out / "annotations" / f"instances_{part}.json").is_file() for part in IMAGES):
        return
    source = open_source("cifar10", data_dir)
    told = {}
    for number, (part, count) in enumerate(IMAGES.items()):
        photos = photos_of(source.train if part == "train" else source.test, source.classes)
        (out / part).mkdir(parents=True, exist_ok=True)
        images, objects = [], []
        for index in range(count):
            pixels, pieces = scene(photos, np.random.default_rng([SEED, number, index]))
            name = f"{part}-{index:04}.jpg"
            Image.fromarray(pixels).save(out / part / name, quality=95, subsampling=0)
            images.append({"id": index + 1, "file_name": name, "height": HEIGHT, "width": WIDTH})
            for label, box, crowd in annotated(pieces):
                top, left, bottom, right = (round(side, 3) for side in box.tolist())
                corner_and_size = [left, top, round(right - left, 3), round(bottom - top, 3)]
                objects.append(
                    {
                        "id": len(objects) + 1,
                        "image_id": index + 1,
                        "category_id": list(OUTLINES).index(label) + 1,
                        "bbox": corner_and_size,
                        "area": corner_and_size[2] * corner_and_size[3],
                        "iscrowd": int(crowd),
                    }
                )
        told[part] = {
            "images": images,
            "annotations": objects,
            "categories": [{"id": number, "name": name} for number, name in enumerate(OUTLINES, 1)],
        }
    (out / "annotations").mkdir(exist_ok=True)
    for part, content in told.items():
        (out / "annotations" / f"instances_{part}.json").write_text(json.dumps(content) + "\n", encoding="utf-8")
