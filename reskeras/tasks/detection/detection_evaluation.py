"""Evaluation of a detector on a split: average precision by VOC's and COCO's rules, proposal recall, mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reskeras.printable import short_repr
from reskeras.tasks.detection.average_precision import Detections, VocPrecision, voc_precision
from reskeras.tasks.detection.by_map import ByMap, proposed_by_map
from reskeras.tasks.detection.coco_precision import CocoPrecision, coco_precision, has_pycocotools
from reskeras.tasks.detection.confusion import Confusion, confusion
from reskeras.tasks.detection.detector_inference import Detector
from reskeras.tasks.detection.mistakes import Mistakes, mistakes
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.detection.recall import Proposed, Recall, proposal_recall


@dataclass(frozen=True)
class DetectionEvaluation:
    """Results of a detector on `images` images with `objects` objects that are not ignored.

    `voc`, `mistakes` and `confusion` are at an overlap (IoU) of 0.5, whatever that of the detector's suppression;
    `coco` is None where pycocotools is not installed; `recall` is by number of proposals, of which an image has at most
    `proposed`; the best `classified` of them are classified.
    `by_map` is of these, None of a detector without a pyramid.
    """

    data: str
    split: str
    images: int
    objects: int
    views: str
    classified: int
    proposed: int
    voc: VocPrecision
    coco: CocoPrecision | None
    recall: dict[int, Recall]
    by_map: ByMap | None
    mistakes: Mistakes
    confusion: Confusion
    detections: Detections = field(repr=False, compare=False)

    def __repr__(self) -> str:
        return short_repr(
            self,
            f"{self.objects:,} objects in {self.images:,} {self.split} images of {self.data}",
            map_area=self.voc.map_area,
            coco_map=self.coco.map if self.coco else None,
        )

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain data for JSON."""
        return {
            "data": self.data,
            "split": self.split,
            "images": self.images,
            "objects": self.objects,
            "views": self.views,
            "classified": self.classified,
            "proposed": self.proposed,
            "voc": self.voc.as_dict(),
            "coco": self.coco.as_dict() if self.coco else None,
            "recall": {str(count): recall._asdict() for count, recall in self.recall.items()},
            "by_map": self.by_map.as_dict() if self.by_map else None,
            "mistakes": self.mistakes.as_dict(),
            "confusion": self.confusion.as_dict(),
        }


def evaluate_detector(
    detector: Detector,
    split: Objects,
    classes: Sequence[str],
    data: str,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> DetectionEvaluation:
    """Evaluate `detector` on every image of `split`. `progress` gets the images done, of how many."""
    detections, proposals = detector.look(split, progress)
    counts = detector.proposals_tested, detector.proposals_before
    return judged(detections, proposals, split, classes, data, detector.describe(), *counts, detector.strides)


def judged(
    detections: Detections,
    proposals: Sequence[Proposed],
    split: Objects,
    classes: Sequence[str],
    data: str,
    views: str,
    classified: int,
    proposed: int,
    strides: Sequence[float] = (),
) -> DetectionEvaluation:
    """The evaluation of detections in `split`, where `classified` of at most `proposed` proposals were classified, and
    `strides` are those of the maps that they are of."""
    boxes = [each.boxes for each in proposals]
    names = tuple(classes)
    coco = coco_precision(detections, split, names) if has_pycocotools() else None
    return DetectionEvaluation(
        data,
        split.name,
        split.count,
        int(np.count_nonzero(~split.ignored)),
        views,
        classified,
        proposed,
        voc_precision(detections, split, names),
        coco,
        proposal_recall(boxes, split),
        proposed_by_map(proposals, split, strides, classified) if len(strides) > 1 else None,
        mistakes(detections, split, classes, proposals=boxes),
        confusion(detections, split, classes),
        detections,
    )
