"""COCO's average precision and recall by pycocotools, and conversion to COCO's formats."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from reskeras.errors import ReskerasError
from reskeras.tasks.detection.average_precision import Detections

if TYPE_CHECKING:
    from reskeras.tasks.detection.objects import Objects

FIGURES = ("map", "map50", "map75", "small", "medium", "large")  # the order of COCOeval.stats,
RECALLS = ("1", "10", "100", "small", "medium", "large")  # and what follows them there
EVERY_SIZE, MOST_DETECTIONS = 0, 2  # places in COCOeval.eval: all areas, 100 detections


@dataclass(frozen=True)
class CocoClass:
    """One class: objects not ignored, average precision over all overlaps and at 0.5; None without objects."""

    name: str
    objects: int
    map: float | None
    map50: float | None


@dataclass(frozen=True)
class CocoPrecision:
    """COCO's twelve figures in 0..1, and figures by class; None where there is no object.

    `map` is the mean over overlaps 0.5, 0.55, ..., 0.95 and over classes, `map50` and `map75` at one overlap;
    `small` of objects below 32 x 32 pixels, `large` above 96 x 96, `medium` between, by the area of the box.
    `recalls` has the mean recall with at most "1", "10", "100" detections of a class in an image, and with 100
    of "small", "medium", "large" objects.
    """

    map: float | None
    map50: float | None
    map75: float | None
    small: float | None
    medium: float | None
    large: float | None
    recalls: dict[str, float | None]
    by_class: tuple[CocoClass, ...]

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain data for JSON."""
        plain = asdict(self)
        by_class = {each.pop("name"): each for each in plain.pop("by_class")}
        return {**plain, "classes": by_class}


def has_pycocotools() -> bool:
    """Whether `coco_precision` can be computed here."""
    return find_spec("pycocotools") is not None


def coco_precision(detections: Detections, objects: Objects, classes: tuple[str, ...]) -> CocoPrecision:
    """The figures of pycocotools' COCOeval for boxes.

    By descending score each detection of an image is matched to the unmatched object with the highest overlap, among
    those with enough overlap; VOC's rule never considers a second object. At most 100 detections of a class in an
    image count. Ignored objects are crowds, see `coco_objects`. COCO's small, medium and large are by the area of the
    segmentation, here by that of the box, so these three differ slightly from published ones.

    Detections with a non-finite score or corner are left out. `ReskerasError` where pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise ReskerasError("coco: pycocotools is not installed; pip install 'reskeras[detect]'") from error
    # ids may mix numbers and strings, which pycocotools sorts, or repeat in two splits of a set
    objects = replace(objects, ids=tuple(range(1, objects.count + 1)))
    with redirect_stdout(io.StringIO()):  # it prints its progress and a table
        truth, found = COCO(), COCO()
        truth.dataset = coco_objects(objects, classes)
        truth.createIndex()
        if results := coco_results(detections, objects, classes):
            found = truth.loadRes(results)  # which fails on an empty list
        judge = COCOeval(truth, found, "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    stats = [_figure(value) for value in judge.stats]
    counts = np.bincount(objects.labels[~objects.ignored], minlength=len(classes))
    precision = judge.eval["precision"][..., EVERY_SIZE, MOST_DETECTIONS]  # (overlaps, recalls, classes)
    by_class = tuple(
        CocoClass(
            name, int(counts[label]), _figure(precision[..., label].mean()), _figure(precision[0, :, label].mean())
        )
        for label, name in enumerate(classes)
    )
    figures, recalls = stats[: len(FIGURES)], stats[len(FIGURES) :]
    return CocoPrecision(
        **dict(zip(FIGURES, figures, strict=True)), recalls=dict(zip(RECALLS, recalls, strict=True)), by_class=by_class
    )


def coco_objects(objects: Objects, classes: tuple[str, ...]) -> dict[str, Any]:
    """The annotations in COCO's format (the content of an instances_*.json, without segmentations).

    Image ids are those of `objects`, categories count from 1 in the order of `classes`. pycocotools overwrites an
    annotation's `ignore` with its `iscrowd`, so every ignored object is a crowd there, including VOC's difficult ones:
    any number of detections that lie in it by at least the overlap threshold are not false positives.
    """
    owner = np.repeat(np.arange(objects.count), np.diff(objects.starts))
    rows = zip(
        owner.tolist(),
        objects.labels.tolist(),
        _corner_and_size(objects.boxes),
        (objects.ignored | objects.crowd).tolist(),
        strict=True,
    )
    return {
        "info": {"description": objects.name},  # pycocotools 2.0.8 copies it unconditionally
        "images": [
            {"id": name, "height": height, "width": width}
            for name, (height, width) in zip(objects.ids, objects.sizes.tolist(), strict=True)
        ],
        "categories": [{"id": label, "name": name} for label, name in enumerate(classes, 1)],
        # ids from 1: COCOeval treats a match with annotation 0 as no match
        "annotations": [
            {
                "id": number,
                "image_id": objects.ids[image],
                "category_id": label + 1,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(crowd),
            }
            for number, (image, label, box, crowd) in enumerate(rows, 1)
        ],
    }


def coco_results(detections: Detections, objects: Objects, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """The detections in COCO's results format, ready for `json.dump`: image_id as in `objects.ids`, category_id from 1
    in the order of `classes`, bbox [left, top, width, height] in pixels, score.

    Detections with a non-finite score or corner are left out: JSON cannot represent them.
    """
    kept = detections.finite()
    rows = zip(
        kept.image.tolist(), kept.labels.tolist(), _corner_and_size(kept.boxes), kept.scores.tolist(), strict=True
    )
    return [
        {"image_id": objects.ids[image], "category_id": label + 1, "bbox": box, "score": score}
        for image, label, box, score in rows
        if 0 <= label < len(classes)
    ]


def _corner_and_size(boxes: np.ndarray) -> list[list[float]]:
    """Boxes (n, 4) as [left, top, width, height]."""
    top, left, bottom, right = boxes.astype(np.float64).reshape(-1, 4).T
    return np.stack([left, top, right - left, bottom - top], axis=1).tolist()


def _figure(value: float) -> float | None:
    """A figure of COCOeval, which is -1 without objects."""
    return float(value) if value > -1 else None
