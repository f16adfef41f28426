"""Warnings about annotated images: what a detector of theirs cannot learn, be tested on, or report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from reskeras.data.survey import FEW, NAMED, UNEQUAL
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_plan import DetectorPlan
from reskeras.printable import counted, few
from reskeras.tasks.detection.objects import Objects

if TYPE_CHECKING:
    from reskeras.tasks.detection.object_statistics import AnchorSurvey, ObjectCount

LEAST_COVERED = 0.9  # share of a class' objects at an overlap of 0.5, below which a warning is given
MOST_REPORTED, MOST_PROPOSED = 1000, 4096  # what detections.most and proposals.testing may be


def class_warnings(classes: Mapping[str, ObjectCount]) -> Iterator[str]:
    """Of classes that are unbalanced, or have too few objects."""
    counts = {name: count.train for name, count in classes.items()}
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[most] > UNEQUAL * counts[least]:
        yield (
            f"classes are very unbalanced: {counts[most]:,} training objects of {most} and {counts[least]:,} of {least}"
        )
    if few := [name for name, count in counts.items() if count < FEW]:
        yield f"fewer than {FEW} training objects of {_named(few)}"
    yield from untested({name: count.test for name, count in classes.items()})


def drawn_part(train: Objects, used: Objects, classes: Sequence[str]) -> Iterator[str]:
    """Of how many of the `train` images are used where not all are, and of classes that these have no object of."""
    if used.count < train.count:
        counts = np.bincount(used.labels[~used.ignored], minlength=len(classes)).tolist()
        told = f"images: {used.count:,} of the {train.count:,} training images, with {sum(counts):,} objects"
        without = [name for name, count in zip(classes, counts, strict=True) if not count]
        yield told + (f"; none of {_named(without)}" if without else "")


def untested(counts: Mapping[str, int]) -> Iterator[str]:
    """Of classes without objects among the `counts` of the test images: no mean includes them."""
    if without := [name for name, count in counts.items() if not count]:
        yield f"no test object of {_named(without)}"


def size_warnings(anchors: AnchorSurvey, plan: DetectorPlan) -> Iterator[str]:
    """Of objects that no anchor covers, or that are smaller than a cell."""
    every = anchors.every
    uncovered = [
        f"{name} ({cover.shares[0]:.0%})"
        for name, cover in anchors.classes.items()
        if cover.objects and cover.shares[0] < LEAST_COVERED
    ]
    if uncovered:
        yield (
            f"on {anchors.where}, fewer than {LEAST_COVERED:.0%} of the training objects have an anchor with an "
            f"IoU of 0.5 or more, in {_named(uncovered)}; for other anchors see reskeras detect show --data"
        )
    if every.sides[0] < plan.stride:
        yield (
            f"at least a quarter of the training objects are smaller than {plan.stride:g}x{plan.stride:g} pixels, a "
            f"cell of the shared map, on {anchors.where}; use a larger "
            f"{'shorter side' if anchors.sides else 'canvas'}"
        )


def capped(splits: Sequence[Objects], spec: DetectorSpec) -> Iterator[str]:
    """Of images that hold more objects than a detector reports or proposes."""
    counts = np.concatenate(
        [np.bincount(np.repeat(np.arange(each.count), np.diff(each.starts))[~each.ignored]) for each in splits]
    )
    reported, proposed = spec.detections.most, spec.proposals.testing
    if over := int((counts > min(reported, proposed)).sum()):
        most = int(counts.max())
        wanted = {}
        if most > reported:
            wanted["detections.most"] = min(most, MOST_REPORTED)
        if most > proposed:
            wanted["proposals.testing"] = min(2 * most, MOST_PROPOSED)
        yield (
            f"{counted(over, 'image holds', 'images hold')} more objects (up to {most:,}) than the detector finds "
            f"in one ({min(reported, proposed)}); set {' and '.join(f'{path}={to}' for path, to in wanted.items())}"
        )


def _named(names: list[str]) -> str:
    return f"{counted(len(names), 'class', 'classes')}: {few(names, NAMED)}"
