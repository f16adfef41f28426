"""Mean average precision of the watched images after each epoch of a detector's training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from reskeras.data.preprocessing import Preprocessing
from reskeras.networks.detector_plan import DetectorPlan
from reskeras.tasks.detection.coco_precision import coco_precision
from reskeras.tasks.detection.detector_inference import Detector
from reskeras.tasks.detection.objects import Objects

MOST = 500  # images; more say little more about an epoch, and take longer


def some_of(split: Objects, most: int, watched: str, what: str) -> tuple[Objects, str]:
    """At most so many evenly spaced images of a split that is called `watched`, and a line that says so of `what` is
    measured on them; empty where these are all."""
    if split.count <= most:
        return split, ""
    chosen = np.linspace(0, split.count - 1, most).round().astype(int)
    told = f"{what} after each epoch: on {most:,} of the {split.count:,} {watched} images"
    return split.part(split.name, chosen), told


class EpochPrecision:
    """COCO's mean average precision, over overlaps of 0.5 to 0.95 and at 0.5, of a detector in training: on all images
    of `split`, which are called `watched`, or on MOST evenly spaced ones."""

    def __init__(
        self, plan: DetectorPlan, preprocessing: Preprocessing, classes: Sequence[str], split: Objects, watched: str
    ):
        self.classes = tuple(classes)
        self.split, self.told = some_of(split, MOST, watched, "mAP")
        self.detector = Detector(plan, None, preprocessing)

    def __call__(self, weights: Mapping[str, np.ndarray]) -> dict[str, float]:
        """`val_average_precision` and `val_average_precision_50` of the detector with these weights, 0 where the images
        hold no object."""
        self.detector.load(weights)
        detections, _ = self.detector.look(self.split)
        found = coco_precision(detections, self.split, self.classes)
        return {"val_average_precision": found.map or 0.0, "val_average_precision_50": found.map50 or 0.0}
