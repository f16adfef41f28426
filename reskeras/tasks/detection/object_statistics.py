"""Statistics of annotated images: objects by class and size, and how well a detector's anchors cover them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from reskeras.data.source import Source
from reskeras.data.survey import Sizes, size_range
from reskeras.networks.detector_plan import DetectorPlan, Level
from reskeras.tasks.detection.anchors import anchor_fields, anchor_sides
from reskeras.tasks.detection.object_warnings import capped, class_warnings, size_warnings
from reskeras.tasks.detection.objects import Objects

OVERLAPS = (0.5, 0.7)  # default overlaps from which a region, and an anchor, is positive
QUARTILES = (25, 50, 75)


@dataclass(frozen=True)
class Cover:
    """How well the anchors of a detector cover `objects` objects.

    `sides` are the quartiles of their sides, the square root of the area in pixels of the canvas; `shares` the shares
    of objects, in 0..1, with an anchor that overlaps them by at least each of OVERLAPS.
    """

    objects: int
    sides: tuple[float, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class AnchorSurvey:
    """Coverage by a detector's anchors of the objects of a split that are not ignored; of all and by class.

    Images are placed as at test time: scaled to fit the canvas. A class without objects has zeros.
    """

    canvas: tuple[int, int]
    every: Cover
    classes: dict[str, Cover]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "canvas": list(self.canvas),
            "overlaps": list(OVERLAPS),
            **asdict(self.every),
            "classes": [{"name": name, **asdict(cover)} for name, cover in self.classes.items()],
        }


@dataclass(frozen=True)
class ObjectCount:
    """Counts of one class or of all: images with such objects, and objects that are not ignored, by split."""

    train_images: int
    train: int
    test_images: int
    test: int


@dataclass(frozen=True)
class ObjectSurvey:
    """Statistics of a source of annotated images.

    `images`, `background` (images without objects) and `ignored` (difficult objects and crowds, which no other figure
    includes) are pairs (training, test). `most` is the largest number of objects of an image.
    """

    data: str
    mirror: bool
    divided: str
    images: tuple[int, int]
    background: tuple[int, int]
    ignored: tuple[int, int]
    most: int
    every: ObjectCount
    classes: dict[str, ObjectCount]
    sizes: Sizes
    anchors: AnchorSurvey
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        classes = [{"name": name, **asdict(count)} for name, count in self.classes.items()]
        return {**asdict(self), "classes": classes, "anchors": self.anchors.as_dict()}


def survey_objects(source: Source[Objects], plan: DetectorPlan) -> ObjectSurvey:
    """Count the images and objects of `source`, and their coverage by a detector's anchors; no image is read."""
    train = source.training_images("data")
    splits = train, source.test
    sizes = size_range(train.sizes)
    every, counts = _counts(splits, len(source.classes))
    classes = dict(zip(source.classes, counts, strict=True))
    anchors = survey_anchors(train, source.classes, plan)
    return ObjectSurvey(
        data=source.label,
        mirror=source.mirror,
        divided=source.divided,
        images=_pair(split.count for split in splits),
        background=_pair(int((np.diff(split.starts) == 0).sum()) for split in splits),
        ignored=_pair(int(split.ignored.sum()) for split in splits),
        most=int(np.diff(train.starts).max(initial=0)),
        every=every,
        classes=classes,
        sizes=sizes,
        anchors=anchors,
        notes=source.notes,
        warnings=(*class_warnings(classes), *size_warnings(anchors, plan), *capped(splits, plan.spec)),
    )


def survey_anchors(split: Objects, classes: tuple[str, ...], plan: DetectorPlan) -> AnchorSurvey:
    """How well the anchors of a detector cover the objects of a split."""
    height, width, _ = plan.input_shape
    boxes, labels = canvas_boxes(split, height, width)
    overlaps = best_overlaps(boxes, plan)
    return AnchorSurvey(
        (height, width),
        _cover(boxes, overlaps),
        {name: _cover(boxes[labels == label], overlaps[labels == label]) for label, name in enumerate(classes)},
    )


def canvas_boxes(split: Objects, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes float64 (n, 4) on the canvas, and labels int32 (n,), of all objects of a split that are not ignored."""
    # as in `canvas.placed`: rounded to whole pixels, in the upper left corner; in float32 too, where halves round alike
    sizes, canvas = split.sizes.astype(np.float32), np.array([height, width], np.float32)
    scaled = np.maximum(np.round(sizes * (canvas / sizes).min(axis=1, keepdims=True)), 1)
    scales = scaled.astype(np.float64) / sizes
    boxes = split.boxes * np.repeat(np.tile(scales, 2), np.diff(split.starts), axis=0)
    return boxes[~split.ignored], split.labels[~split.ignored]


def best_overlaps(boxes: np.ndarray, plan: DetectorPlan) -> np.ndarray:
    """The largest overlap (n,) of boxes (n, 4) on the canvas with any anchor of the plan.

    Of anchors of one shape on one map the nearest one in both directions overlaps most, so only that is evaluated.
    """
    best = [_best_of(boxes, level, anchor_fields(plan, level)) for level in plan.levels()]
    return np.max(best, axis=0)


def _best_of(boxes: np.ndarray, level: Level, fields: dict[str, Any]) -> np.ndarray:
    """`best_overlaps` with the anchors of one map."""
    shapes = anchor_sides(fields["sizes"], fields["ratios"], fields["rounded"])
    centres, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    cells = np.clip(np.round((centres - level.offsets) / level.stride), 0, np.array(level.shape[:2]) - 1)
    off = np.abs(cells * level.stride + level.offsets - centres)[:, np.newaxis]
    sides = sides[:, np.newaxis]
    common = np.clip((sides + shapes) / 2 - off, 0, np.minimum(sides, shapes)).prod(axis=-1)
    return (common / (sides.prod(axis=-1) + shapes.prod(axis=-1) - common)).max(axis=1, initial=0)


def _cover(boxes: np.ndarray, overlaps: np.ndarray) -> Cover:
    sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    if not len(sides):
        return Cover(0, (0.0,) * len(QUARTILES), (0.0,) * len(OVERLAPS))
    return Cover(
        len(sides),
        tuple(np.percentile(sides, QUARTILES).tolist()),
        tuple(float((overlaps >= least).mean()) for least in OVERLAPS),
    )


def _pair(numbers: Iterable[int]) -> tuple[int, int]:
    train, test = map(int, numbers)
    return train, test


def _counts(splits: tuple[Objects, Objects], classes: int) -> tuple[ObjectCount, list[ObjectCount]]:
    """Counts of all objects, and of each class."""
    columns = []
    for split in splits:
        owner = np.repeat(np.arange(split.count), np.diff(split.starts))[~split.ignored]
        labels = split.labels[~split.ignored]
        pairs = np.unique(np.stack([owner, labels], axis=1), axis=0)
        columns += [
            [len(np.unique(owner)), *np.bincount(pairs[:, 1], minlength=classes)],
            [len(labels), *np.bincount(labels, minlength=classes)],
        ]
    every, *rows = (ObjectCount(*map(int, row)) for row in zip(*columns, strict=True))
    return every, rows
