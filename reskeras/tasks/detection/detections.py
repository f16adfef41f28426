"""Detections in image files by a trained detector, also in COCO's format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.data.decode import decode_file
from reskeras.errors import ReskerasError
from reskeras.printable import short_repr
from reskeras.tasks.detection.detector_inference import Detector
from reskeras.tasks.detection.objects import CHANNELS

Box = tuple[float, float, float, float]


def box_of(sides: Iterable[float]) -> Box:
    """Four numbers, such as a row of an array, as a box."""
    top, left, bottom, right = map(float, sides)
    return top, left, bottom, right


@dataclass(frozen=True)
class Detection:
    """One detection: class name, probability, box, and the class's place among the detector's. The box is top, left,
    bottom, right in pixels of the image as displayed, with its EXIF orientation applied, where pixel 0 covers 0 to
    1."""

    name: str
    score: float
    box: Box
    label: int


@dataclass(frozen=True)
class ImageDetections:
    """The detections in an image file of `size` (height, width), by descending score, also as arrays with a row for
    each. `supervision.Detections(found.xyxy, confidence=found.scores, class_id=found.labels)` takes them."""

    path: str
    size: tuple[int, int]
    detections: tuple[Detection, ...]

    def __repr__(self) -> str:
        return short_repr(
            self,
            self.path,
            f"{len(self.detections)} objects",
            *(f"{each.name} {each.score:.2%}" for each in self.detections[:3]),
        )

    def above(self, score: float) -> ImageDetections:
        """The detections with a score of at least `score`."""
        return ImageDetections(self.path, self.size, tuple(each for each in self.detections if each.score >= score))

    @property
    def xyxy(self) -> np.ndarray:
        """The boxes with x before y, as most other libraries have them: left, top, right, bottom, float32 (n, 4)."""
        boxes = np.array([each.box for each in self.detections], np.float32)
        return boxes.reshape(-1, 4)[:, [1, 0, 3, 2]]

    @property
    def scores(self) -> np.ndarray:
        """The probabilities, float32 (n,)."""
        return np.array([each.score for each in self.detections], np.float32)

    @property
    def labels(self) -> np.ndarray:
        """The classes, by their place among the detector's, int64 (n,)."""
        return np.array([each.label for each in self.detections], np.int64)

    @property
    def names(self) -> np.ndarray:
        """The names of the classes, strings (n,)."""
        return np.array([each.name for each in self.detections], str)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def predict_images(
    detector: Detector,
    classes: Sequence[str],
    paths: Sequence[str | Path],
    broken: Callable[[str, ReskerasError], None] | None = None,
) -> list[ImageDetections]:
    """The detections in the image files `paths`, in order.

    EXIF orientations are applied. Every file is decoded before the first one is processed: ReskerasError names one that
    is missing (status 2) or cannot be read (1); with `broken`, which is called with the path and the error, the others
    are still processed.
    """
    known: list[tuple[str | Path, tuple[int, int]]] = []
    for path in paths:
        try:
            known.append((path, _size(path)))
        except ReskerasError as error:
            if broken is None:
                raise
            broken(str(path), error)
    found: dict[int, ImageDetections] = {}
    sizes = np.reshape([size for _, size in known], (-1, 2))
    for canvas, places in detector.by_canvas(sizes).items():
        find = tf.function(partial(detector.found, canvas=canvas), autograph=False)
        for start in range(0, len(places), detector.batch):
            chosen = places[start : start + detector.batch].tolist()
            batch = [Path(known[place][0]).read_bytes() for place in chosen]
            filled = batch + batch[-1:] * (detector.batch - len(batch))  # one graph for all batches of a canvas
            outputs = {name: values.numpy() for name, values in find(tf.constant(filled)).items()}
            for row, place in enumerate(chosen):
                path, size = known[place]
                found[place] = ImageDetections(str(path), size, tuple(_detections(outputs, row, classes)))
    return [found[place] for place in range(len(known))]


def coco_predictions(found: Sequence[ImageDetections], classes: Sequence[str]) -> list[dict[str, Any]]:
    """The detections in COCO's results format, as `coco_results`, with file and class names added.

    `image_id` is the file's stem, as a number where it is one (as in COCO's own sets), so that pycocotools' loadRes
    takes the list beside annotations with such ids. Where two files would have the same it is the place in `found`.
    """
    stems = [Path(each.path).stem for each in found]
    ids: Sequence[int | str] = [int(stem) if stem.isascii() and stem.isdecimal() else stem for stem in stems]
    if len(set(ids)) < len(ids):
        ids = range(len(ids))
    numbers = {name: label for label, name in enumerate(classes, 1)}
    rows = []
    for image, each in zip(ids, found, strict=True):
        for one in each.detections:
            top, left, bottom, right = one.box
            rows.append(
                {
                    "image_id": image,
                    "file_name": Path(each.path).name,
                    "category_id": numbers[one.name],
                    "category_name": one.name,
                    "bbox": [left, top, right - left, bottom - top],
                    "score": one.score,
                }
            )
    return rows


def _size(path: str | Path) -> tuple[int, int]:
    height, width, _ = decode_file(path, CHANNELS).shape
    return height, width


def _detections(outputs: dict[str, np.ndarray], row: int, classes: Sequence[str]) -> list[Detection]:
    """The detections in one image of a batch, without non-finite ones of a diverged network."""
    kept = slice(0, outputs["count"][row])
    labels, scores, boxes = (outputs[name][row, kept] for name in ("labels", "scores", "boxes"))
    return [
        Detection(classes[label], float(score), box_of(box), int(label))
        for label, score, box in sorted(zip(labels, scores, boxes, strict=True), key=lambda each: -each[1])
        if np.isfinite(score) and np.isfinite(box).all()
    ]
