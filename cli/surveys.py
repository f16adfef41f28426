"""Printed surveys of data sources: their figures, a line for each class, notes and warnings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .output import Styled, echo, facts, heading, shape_text
from .tables import Column, table

if TYPE_CHECKING:
    from reskeras.data.survey import Sizes, Survey
    from reskeras.tasks.detection.object_statistics import CanvasCount, ObjectSurvey

LISTED = 24  # classes; of more only the largest and smallest are listed


def echo_survey(found: Survey) -> None:
    """Print a survey of classified images."""
    heading(found.data)
    facts(
        [
            ("training", f"{found.train:,}", found.origins.get("train", "images")),
            *(
                [
                    (
                        "validation",
                        f"{found.validation:,}",
                        f"{found.origins.get('validation', 'images')}, monitored in training",
                    )
                ]
                if found.validation
                else []
            ),
            ("test", f"{found.test:,}", found.divided),
            ("classes", f"{len(found.classes):,}", _mirrors(found.mirror)),
            *_several_classes(found),
            ("channels", str(found.channels), "grey" if found.channels == 1 else "colour"),
            ("size", *_sized(found.sizes, found.train)),
        ]
    )
    echo()
    estimated = "about " if found.counted != (found.train, found.test) else ""
    _echo_classes(
        ("training", "test"),
        {
            name: (train, f"{estimated}{train:,}", f"{estimated}{test:,}")
            for name, (train, test) in found.classes.items()
        },
    )
    _echo_remarks(found.notes, found.warnings)


def echo_object_survey(found: ObjectSurvey) -> None:
    """Print a survey of annotated images, and how a detector's anchors fit their objects."""
    heading(found.data)
    facts(_object_facts(found))
    echo()
    _echo_classes(
        ("training objects", "images", "test objects", "images", "median side", "anchor IoU 0.5"),
        {
            name: (
                count.train,
                f"{count.train:,}",
                f"{count.train_images:,}",
                f"{count.test:,}",
                f"{count.test_images:,}",
                f"{found.anchors.classes[name].sides[1]:.0f}",
                f"{found.anchors.classes[name].shares[0]:.1%}",
            )
            for name, count in found.classes.items()
        },
    )
    if len(found.canvases) > 1:
        echo()
        echo_canvases(found.canvases)
    _echo_remarks(found.notes, found.warnings)


def echo_canvases(canvases: Sequence[CanvasCount]) -> None:
    """Print how many images take each canvas of a detector, but for canvases that none takes."""
    table(
        [Column("canvas"), Column("training images", right=True), Column("test images", right=True)],
        [
            [shape_text(each.canvas), f"{each.train:,}", f"{each.test:,}"]
            for each in canvases
            if each.train or each.test
        ],
    )


def _object_facts(found: ObjectSurvey) -> list[tuple[str, str, str]]:
    """The figures of a survey of annotated images; the sides of objects are those on the detector's canvas."""
    every, anchors, (train, test) = found.every, found.anchors.every, found.images
    backgrounds, ignored = ([f"{number:,}" for number in pair] for pair in (found.background, found.ignored))
    quartiles = ", ".join(f"{side:.0f}" for side in anchors.sides)
    where = found.anchors.where
    relative = ", ".join(f"{side / found.anchors.shorter:.0%}" for side in anchors.sides)
    return [
        *([("format", found.format, found.name)] if found.format else []),
        ("training", f"{train:,}", f"images, {backgrounds[0]} of them without objects"),
        ("test", f"{test:,}", f"{found.divided}; {backgrounds[1]} without objects"),
        (
            "objects",
            f"{every.train:,}",
            f"to detect in training, at most {found.most:,} per image; {every.test:,} in test",
        ),
        ("ignored", ignored[0], f"objects in training, {ignored[1]} in test"),
        ("classes", f"{len(found.classes):,}", _mirrors(found.mirror)),
        ("size", *_sized(found.sizes, train)),
        (
            "sides",
            quartiles,
            f"quartiles of the square root of an object's area on {where}: {relative} of the shorter side",
        ),
        (
            "anchors",
            f"{anchors.shares[0]:.1%}",
            "of the training objects have a default anchor with an IoU of 0.5 or more, "
            f"{anchors.shares[1]:.1%} one of 0.7 or more",
        ),
    ]


def _several_classes(found: Survey) -> list[tuple[str, str, str]]:
    """The line about the number of classes per image, of multi-label images."""
    if found.several is None:
        return []
    several, (train, test) = found.several, found.several.none
    return [
        (
            "labels",
            f"{several.mean:.2f}",
            f"classes per training image, at most {several.most}; none in {train:,} training and {test:,} test images",
        )
    ]


def _mirrors(mirror: bool) -> str:
    return "may be mirrored" if mirror else "must not be mirrored"


def _sized(sizes: Sizes, count: int) -> tuple[str, str]:
    """The median image size, and the number of images measured."""
    of = "all training images" if sizes.measured == count else f"{sizes.measured:,} training images"
    if sizes.different == 1:
        return shape_text(sizes.median), f"height x width of {of}"
    return shape_text(sizes.median), (
        f"median; {shape_text(sizes.smallest)} to {shape_text(sizes.largest)}, {sizes.different:,} sizes in {of}"
    )


def _echo_classes(titles: Sequence[str], classes: dict[str, tuple]) -> None:
    """Print a line for each class, whose first entry is its size; of many classes only the largest and the smallest."""
    lines = [
        (name, *figures)
        for name, (_, *figures) in (
            sorted(classes.items(), key=lambda entry: -entry[1][0]) if len(classes) > LISTED else classes.items()
        )
    ]
    if len(lines) > LISTED:
        half = LISTED // 2
        lines = [*lines[:half], (f"... {len(lines) - 2 * half} more", *[""] * len(titles)), *lines[-half:]]
    table([Column("class"), *(Column(title, right=True) for title in titles)], lines)


def _echo_remarks(notes: Sequence[str], warnings: Sequence[str]) -> None:
    if notes or warnings:
        echo()
    for remark in notes:
        echo(f"note: {remark}")
    for warning in warnings:
        echo(Styled("warning", colour="yellow"), f": {warning}")
