"""What the model card of a detector says of its test: mean average precision, and average precision by class."""

from __future__ import annotations

import numpy as np

from reskeras.evaluation.intervals import Interval, bootstrap
from reskeras.report.card_results import CardResults, Figure, results_with
from reskeras.tasks.detection.average_precision import VocPrecision, area
from reskeras.tasks.detection.detection_evaluation import DetectionEvaluation
from reskeras.tasks.detection.objects import Objects


def detector_results(found: DetectionEvaluation, objects: Objects) -> CardResults:
    """Mean average precision by VOC's and COCO's rules, and the average precision of each class."""
    voc, coco = found.voc, found.coco
    at = f"at an IoU of {voc.overlap:g}"
    interval = map_interval(voc, objects)
    figures = [
        Figure(
            f"mAP at {voc.overlap:g}", "map_50", voc.map_area, interval, f"area under the curve {at} (VOC from 2010)"
        ),
        Figure("11-point mAP", "map_50_11_point", voc.map_eleven, None, f"{at} (VOC 2007)"),
    ]
    if coco:
        figures += [
            Figure("mAP at 0.5 to 0.95", "map", coco.map, None, "COCO: mean over IoU thresholds"),
            Figure("mAP at 0.75", "map_75", coco.map75, None, "COCO"),
        ]
    by_class = {each.name: each.map for each in coco.by_class} if coco else {}
    rows = []
    for each in voc.classes:
        shares = [each.area, each.eleven, *([by_class.get(each.name)] if coco else [])]
        told = ("" if share is None or not each.objects else f"{share:.2%}" for share in shares)
        rows.append((each.name, f"{each.objects:,}", *told))
    columns = (
        "class",
        "test objects",
        f"AP at {voc.overlap:g}",
        "11-point AP",
        *(["AP at 0.5 to 0.95"] if coco else []),
    )
    limits = [f"There are {found.objects:,} objects in the {found.images:,} test images."]
    figures_by_class = [each.area if each.objects else None for each in voc.classes]
    counts = [each.objects for each in voc.classes]
    return results_with(found, *figures, limits=limits).by_class(columns, rows, figures_by_class, counts)


def map_interval(found: VocPrecision, objects: Objects) -> Interval | None:
    """The bootstrap interval of `map_area`. Which detection is right does not change where whole images are resampled:
    only how often each counts does."""
    held = np.zeros((objects.count, len(found.classes)), np.int64)
    owner = np.repeat(np.arange(objects.count), np.diff(objects.starts))[~objects.ignored]
    np.add.at(held, (owner, objects.labels[~objects.ignored]), 1)

    def figure(counts: np.ndarray) -> float:
        every = []
        for each, total in zip(found.classes, counts @ held, strict=True):
            if total:
                often = counts[each.images]
                hits = np.cumsum(often * (np.diff(each.recall, prepend=0.0) > 0))
                every.append(area(hits / np.maximum(np.cumsum(often), 1), hits / total))
        return float(np.mean(every)) if every else float("nan")

    return bootstrap(figure, objects.count, held.size + sum(len(each.images) for each in found.classes))
