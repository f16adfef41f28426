"""Statistics of annotated images: objects by class and size, and how well a detector's anchors cover them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from reskeras.data.epoch_order import by_group
from reskeras.data.source import Source
from reskeras.data.survey import Sizes, size_range
from reskeras.networks.detector_plan import DetectorPlan, Level
from reskeras.readers import OBJECTS, reader_for
from reskeras.tasks.detection.anchors import anchor_fields, anchor_sides
from reskeras.tasks.detection.canvas import Canvases, scaled
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

    Images are placed as at test time: scaled to fit the canvas or, if given, by their `sides` (the shorter one, and the
    maximum of the longer); the canvas is then the largest. A class without objects has zeros.
    """

    canvas: tuple[int, int]
    every: Cover
    classes: dict[str, Cover]
    sides: tuple[int, int] | None = None

    @property
    def shorter(self) -> int:
        """The shorter side that images have, or that of the canvas."""
        return self.sides[0] if self.sides else min(self.canvas)

    @property
    def where(self) -> str:
        """What objects are measured on, in words."""
        if self.sides:
            return f"images with a shorter side of {self.sides[0]} and a longer one of at most {self.sides[1]}"
        return f"a canvas of {self.canvas[0]}x{self.canvas[1]}"

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "canvas": list(self.canvas),
            **({"shorter": self.sides[0], "longer": self.sides[1]} if self.sides else {}),
            "overlaps": list(OVERLAPS),
            **asdict(self.every),
            "classes": [{"name": name, **asdict(cover)} for name, cover in self.classes.items()],
        }


@dataclass(frozen=True)
class CanvasCount:
    """A canvas, height and width, and how many training and test images take it."""

    canvas: tuple[int, int]
    train: int
    test: int


@dataclass(frozen=True)
class ObjectCount:
    """Counts of one class or of all: images with such objects, and objects that are not ignored, by split."""

    train_images: int
    train: int
    test_images: int
    test: int


@dataclass(frozen=True)
class ObjectSurvey:
    """Statistics of a source of annotated images, `name`, whose annotations are in the format `format`.

    `images`, `background` (images without objects) and `ignored` (difficult objects and crowds, which no other figure
    includes) are pairs (training, test). `most` is the largest number of objects of an image.
    """

    data: str
    name: str
    format: str
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
    canvases: tuple[CanvasCount, ...]
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
    reader = reader_for(source.name, OBJECTS)
    return ObjectSurvey(
        data=source.label,
        name=source.name,
        format=reader.title if reader else "",
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
        canvases=survey_canvases(splits, plan),
        notes=source.notes,
        warnings=(*class_warnings(classes), *size_warnings(anchors, plan), *capped(splits, plan.spec)),
    )


def survey_canvases(splits: tuple[Objects, Objects], plan: DetectorPlan) -> tuple[CanvasCount, ...]:
    """How many training and test images take each canvas of a detector."""
    canvases = Canvases.of(plan)
    train, test = (np.bincount(canvases.chosen(split.sizes), minlength=len(canvases)).tolist() for split in splits)
    return tuple(map(CanvasCount, canvases.shapes, train, test))


def survey_anchors(split: Objects, classes: tuple[str, ...], plan: DetectorPlan) -> AnchorSurvey:
    """How well the anchors of a detector cover the objects of a split."""
    boxes, labels, places = canvas_boxes(split, plan)
    overlaps = np.zeros(len(boxes))
    for place, rows in by_group(places).items():
        overlaps[rows] = best_overlaps(boxes[rows], plan.at(*plan.canvases[place]))
    return AnchorSurvey(
        plan.canvas,
        _cover(boxes, overlaps),
        {name: _cover(boxes[labels == label], overlaps[labels == label]) for label, name in enumerate(classes)},
        plan.spec.resize.sides if plan.spec.resize else None,
    )


def canvas_boxes(split: Objects, plan: DetectorPlan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes float64 (n, 4) on the canvases of a detector, labels int32 (n,), and the numbers of the canvases int32
    (n,), of all objects of a split that are not ignored."""
    canvases, counts = Canvases.of(plan), np.diff(split.starts)
    sizes = split.sizes.reshape(-1, 2).astype(np.float32)
    scales = (
        scaled(sizes, plan.canvas, canvases.sides, down=canvases.resampling.down).numpy().astype(np.float64)
        / split.sizes
    )
    boxes = split.boxes * np.repeat(np.tile(scales, 2), counts, axis=0)
    places = np.repeat(canvases.chosen(sizes).numpy(), counts)
    return boxes[~split.ignored], split.labels[~split.ignored], places[~split.ignored]


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
    cells = np.clip(np.round((centres - level.offsets) / level.steps), 0, np.array(level.shape[:2]) - 1)
    off = np.abs(cells * level.steps + level.offsets - centres)[:, np.newaxis]
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
