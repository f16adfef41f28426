"""Detections in image files and in the frames of videos, as they are handed over: by name, and as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self, overload

import numpy as np

from reskeras.printable import short_repr
from reskeras.tasks.detection.average_precision import Detections

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
    """The detections in an image file of `size` (height, width), by descending score.

    Each of `detections` has a `name`, a `score` and a `box`: top, left, bottom, right in pixels of the image as
    displayed. The same as arrays, with a row for each, are `xyxy` (x before y), `scores`, `labels` and `names`:
    `supervision.Detections(found.xyxy, confidence=found.scores, class_id=found.labels)` takes them.
    """

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

    def above(self, score: float) -> Self:
        """The detections with a score of at least `score`."""
        return replace(self, detections=tuple(each for each in self.detections if each.score >= score))

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


@dataclass(frozen=True, repr=False)
class FrameDetections(ImageDetections):
    """The detections in a video's frame number `frame`, from 0, which is shown `time` seconds after the first."""

    frame: int
    time: float


@dataclass(frozen=True, eq=False)
class VideoDetections(Sequence[FrameDetections]):
    """The detections in a video, a sequence of its frames: `path`, `size` (height, width), mean frames per second
    `rate`, `times` float64 (frames,) in seconds. They are held as arrays, `found`, whose `image` is the frame."""

    path: str
    size: tuple[int, int]
    rate: float
    classes: tuple[str, ...]
    times: np.ndarray = field(repr=False)
    found: Detections = field(repr=False)

    def __repr__(self) -> str:
        return short_repr(self, self.path, f"{len(self)} frames", f"{len(self.found.scores)} objects", rate=self.rate)

    def __len__(self) -> int:
        return len(self.times)

    @overload
    def __getitem__(self, frame: int) -> FrameDetections: ...
    @overload
    def __getitem__(self, frame: slice) -> list[FrameDetections]: ...
    def __getitem__(self, frame: int | slice) -> FrameDetections | list[FrameDetections]:
        if isinstance(frame, slice):
            return [self[place] for place in range(len(self))[frame]]
        number = range(len(self))[frame]
        first, last = np.searchsorted(self.found.image, (number, number + 1))
        told = listed(self.found.part(np.arange(first, last)), self.classes)
        return FrameDetections(self.path, self.size, told, number, float(self.times[number]))

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return float(self.times[-1]) + 1 / self.rate if len(self) else 0.0


Found = ImageDetections | VideoDetections


def each_image(found: Iterable[Found]) -> Iterator[ImageDetections]:
    """The images, and the frames of the videos, in order."""
    for each in found:
        yield from each if isinstance(each, VideoDetections) else [each]


def listed(found: Detections, classes: Sequence[str]) -> tuple[Detection, ...]:
    """The detections in one image by descending score, without non-finite ones of a diverged network."""
    found = found.finite()
    return tuple(
        Detection(
            classes[found.labels[row]], float(found.scores[row]), box_of(found.boxes[row]), int(found.labels[row])
        )
        for row in np.argsort(-found.scores, kind="stable")
    )
