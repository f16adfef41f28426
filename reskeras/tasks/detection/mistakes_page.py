"""Sections of the report page about mistakes: confusion matrices, and images by what went wrong in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reskeras.report.confusion import draw_counts
from reskeras.report.sections import Plot, Table, plot
from reskeras.tasks.detection.confusion import BACKGROUND, MISSED
from reskeras.tasks.detection.detection_evaluation import DetectionEvaluation
from reskeras.tasks.detection.image_ranks import RANK_KINDS
from reskeras.tasks.detection.mistakes import SURE
from reskeras.tasks.detection.pictures import Pictures
from reskeras.walk import counted_images

RANKED = 50  # rows of the table of images


def confusions(judged: Mapping[str, DetectionEvaluation], one: bool) -> Iterator[Plot]:
    """A confusion matrix for each run."""
    for name, each in judged.items():
        found = each.confusion
        mistakes = "; ".join(f"{true} as {taken}: {count}" for true, taken, count in found.most_confused())
        yield plot(
            f"Confusion matrix{'' if one else f', {name}'}",
            draw_counts(found.counts, found.rows, found.columns, f"{each.data}, {each.split} split"),
            f"Confusion matrix of {each.objects:,} objects and the detections; most common mistakes: "
            f"{mistakes or 'none'}.",
            f"Detections with a probability of {found.score:g} or more, each matched with one object that it overlaps "
            f"by an IoU of {found.overlap:g} or more, of its own class if there is one. {MISSED.capitalize()}: no such "
            f"detection; {BACKGROUND}: no such object.",
        )


def ranked(pictures: Pictures) -> Iterator[Table]:
    """The test images by how much went wrong in them, if anything did."""
    ranks = pictures.ranks()
    if not ranks:
        return
    rows = [
        [
            str(place),
            pictures.name_of(each.image),
            f"{each.wrong:,}",
            *(f"{count:,}" if count else "" for count in each.counts),
        ]
        for place, each in enumerate(ranks[:RANKED], 1)
    ]
    clean = pictures.test.count - len(ranks)
    yield Table(
        f"Images by what went wrong{pictures.of}",
        ["rank", "image", "mistakes", *RANK_KINDS],
        rows,
        f"Mistakes among the detections with a probability of {SURE:g} or more, and objects that none of these finds "
        f"(missed). {len(ranks):,} of {pictures.test.count:,} test images have mistakes"
        f"{f'; the worst {RANKED} are shown' if len(ranks) > RANKED else ''}.",
        [f"Nothing went wrong in {counted_images(clean)}."] if clean else [],
    )
