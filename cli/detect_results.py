"""Printed output of detectors' evaluations and predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .output import echo, facts, heading
from .tables import Column, table

if TYPE_CHECKING:
    from reskeras.tasks.detection.by_map import ByMap
    from reskeras.tasks.detection.coco_precision import CocoPrecision
    from reskeras.tasks.detection.detection_evaluation import DetectionEvaluation
    from reskeras.tasks.detection.detections import Found, VideoDetections
    from reskeras.tasks.detection.mistakes import Mistakes
    from reskeras.tasks.detection.run import DetectorRun

Facts = list[tuple[str, str, str]]
INSTALL = "COCO metrics need pycocotools: pip install 'reskeras[detect]'"


def echo_detection_evaluation(result: DetectionEvaluation, run: DetectorRun) -> None:
    """Print average precision by class, its means, recall of the proposals, and the mistakes by kind."""
    facts(
        [
            ("images", f"{result.images:,}", f"{result.data}, {result.split} split, {result.views}, float32"),
            ("objects", f"{result.objects:,}", "to detect"),
        ]
    )
    echo()
    _echo_classes(result)
    echo()
    voc, at = result.voc, f"at IoU {result.voc.overlap:g}"
    facts(
        [
            ("mAP", f"{voc.map_area:.2%}", f"mean average precision {at}, area under the curve (VOC from 2010)"),
            ("11-point mAP", f"{voc.map_eleven:.2%}", f"{at} (VOC 2007)"),
            *(_coco_facts(result.coco) if result.coco else []),
            *_recall_facts(result),
        ]
    )
    if result.coco is None:
        echo(INSTALL)
    if result.by_map:
        echo()
        _echo_maps(result.by_map)
    echo()
    _echo_mistakes(result.mistakes)


def _echo_classes(result: DetectionEvaluation) -> None:
    coco = {each.name: each.map for each in result.coco.by_class} if result.coco else {}
    titles = ("objects", "AP", "11-point AP", *(["AP at 0.5 to 0.95"] if coco else []))
    rows = []
    for each in result.voc.classes:
        shares = [each.area, each.eleven, *([coco[each.name]] if coco else [])]
        rows.append([each.name, f"{each.objects:,}", *(_share(share if each.objects else None) for share in shares)])
    table([Column("class"), *(Column(title, right=True) for title in titles)], rows)


def _coco_facts(coco: CocoPrecision) -> Facts:
    sizes = {"small": coco.small, "medium": coco.medium, "large": coco.large}
    by_size = ", ".join(f"{name} {_share(value)}" for name, value in sizes.items() if value is not None)
    return [
        ("mAP at 0.5 to 0.95", _share(coco.map), f"COCO: mean over IoU thresholds; by object size: {by_size}"),
        ("mAP at 0.5", _share(coco.map50), "COCO"),
        ("mAP at 0.75", _share(coco.map75), "COCO"),
    ]


def _recall_facts(result: DetectionEvaluation) -> Facts:
    rows = []
    for count, recall in result.recall.items():
        note = f"; the detector uses {result.classified:,}" if count > result.classified else ""
        if count > result.proposed:
            note = f"; there are at most {result.proposed:,}"
        rows.append(
            (
                f"recall of {count:,} proposals",
                f"{recall.share:.2%}",
                f"at IoU 0.5; mean over 0.5 to 0.95 {recall.average:.2%}{note}",
            )
        )
    return rows


def _echo_maps(found: ByMap) -> None:
    heading("maps", f"whose proposal covers an object best, at IoU {found.overlap:g} or more")
    columns = [
        Column("map"),
        *(Column(title, right=True) for title in ("objects", "share", "middle half of their sides")),
    ]
    rows = []
    for each in found.table:
        low, _, high = each.quartiles or (0.0, 0.0, 0.0)
        sides = f"{low:.0f} to {high:.0f} pixels" if each.objects else ""
        rows.append([each.name, f"{each.objects:,}", f"{each.objects / max(len(found.sides), 1):.1%}", sides])
    table(columns, rows)


def _echo_mistakes(found: Mistakes) -> None:
    from reskeras.tasks.detection.mistakes import SURE, WORDS

    heading("mistakes", "with the mAP if each kind alone were fixed")
    columns = [
        Column("mistake"),
        *(Column(title, right=True) for title in ("count", f"score {SURE:g} or more", "mAP if fixed")),
        Column("description"),
    ]
    table(
        columns,
        [
            [
                each.name,
                f"{each.count:,}",
                "" if each.sure is None else f"{each.sure:,}",
                f"{each.mended:.2%} ({each.mended - found.map_area:+.2%})",
                WORDS[each.name],
            ]
            for each in found.table
        ],
    )
    if found.missed_unproposed:
        echo(f"{found.missed_unproposed:,} of the missed objects are not covered by any proposal")


def echo_detections(found: Sequence[Found]) -> None:
    """Print a line for each object of each image, by descending score, and a table for each video."""
    from reskeras.tasks.detection.detections import VideoDetections

    rows = []
    for image in (each for each in found if not isinstance(each, VideoDetections)):
        if not image.detections:
            rows.append([image.path, "nothing", *[""] * 5])
        rows += [
            [image.path if place == 0 else "", each.name, f"{each.score:.2%}", *(f"{side:.1f}" for side in each.box)]
            for place, each in enumerate(image.detections)
        ]
    titles = ("score", "top", "left", "bottom", "right")
    if rows:
        table([Column("image"), Column("class"), *(Column(title, right=True) for title in titles)], rows)
    for place, video in enumerate(each for each in found if isinstance(each, VideoDetections)):
        if rows or place:
            echo()
        _echo_video(video)


def _echo_video(video: VideoDetections) -> None:
    """Print what is found in a video, by class."""
    import numpy as np

    height, width = video.size
    heading(
        video.path,
        f"{len(video):,} frames of {height}x{width} pixels, {video.duration:.1f} s, {video.rate:.4g} per second",
    )
    rows = []
    for label, name in enumerate(video.classes):
        counts = np.bincount(video.found.image[video.found.labels == label], minlength=len(video))
        shown = np.flatnonzero(counts)
        if len(shown):
            first, last = (f"{video.times[frame]:.2f} s" for frame in (shown[0], shown[-1]))
            rows.append([name, f"{counts.sum():,}", f"{len(shown):,}", f"{counts.max():,}", first, last])
    titles = ("found", "in frames", "most in one", "first", "last")
    table([Column("class"), *(Column(title, right=True) for title in titles)], rows or [["nothing", *[""] * 5]])


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
