"""Stratified samples of images, the same ones each time: to use, or to hold out."""

from __future__ import annotations

import numpy as np

from reskeras.data.class_labels import members
from reskeras.data.division import BY_POSITION, DIVISION, drawn, held_by_position, held_out
from reskeras.data.layout import in_words
from reskeras.data.source import Split
from reskeras.data.survey import COUNTED, labels_of
from reskeras.errors import ReskerasError


def some_images(split: Split, count: int | None, seed: int) -> Split:
    """`count` images of a training's `split`, stratified by class, or all for None: see `division.drawn`; as in
    `split_off` not stratified where there are more than COUNTED. ReskerasError for more than there are, or too few."""
    if count is None:
        return split
    known = split.count <= COUNTED
    labels = labels_of(split)[1] if known else np.zeros(split.count, np.int32)
    check_count(split.name, split.count, count, len(members(labels)) if labels.ndim == 1 else 1)
    return split.part(split.name, drawn(split.keys(), labels, count, seed))


def check_count(name: str, every: int, count: int, least: int = 1) -> None:
    """ReskerasError where a training asks for `count` of `every` images of a split, and that is too many, or fewer than
    `least`, one of each class."""
    if not least <= count <= every:
        why = "one" if least == 1 else "one per class"
        raise ReskerasError(
            f"images: {count:,} of the {every:,} {in_words(name)} images requested; use {least} ({why}) to {every:,}, "
            "or leave images out"
        )


def split_off(split: Split, share: float, seed: int, division: int = DIVISION) -> tuple[Split, Split | None]:
    """`split` without a `share` of its images, and that share: stratified by class, the same for the same seed.

    Of more than COUNTED images, whose labels take long to read and whose classes are even by their number alone, the
    draw is not stratified. `division` BY_POSITION draws by position, as for older runs.
    """
    if division == BY_POSITION:
        kept, held = held_by_position(split.count, share, seed)
    elif share:
        labels = labels_of(split)[1] if split.count <= COUNTED else np.zeros(split.count, np.int32)
        kept, held = held_out(split.keys(), labels, share, seed)
    else:
        return split, None
    return (split.part(split.name, kept), split.part("held-out", held)) if len(held) else (split, None)


def part_of_each_class(split: Split, count: int) -> Split:
    """`count` images of `split`, or all there are, as many of each class as there can be, in the split's order."""
    if split.count <= count:
        return split
    indices, labels = labels_of(split)
    return split.part(split.name, indices[sample_of_each_class(labels, count)])


def sample_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """Indexes of `count` of `labels`, as many of each class as there can be, evenly spaced within it; sorted."""
    groups = members(labels)
    chosen: list[int] = []
    while groups and len(chosen) < count:  # classes with few images leave their share to the others
        share = max((count - len(chosen)) // len(groups), 1)
        for every in groups[: count - len(chosen)]:
            if not len(group := np.setdiff1d(every, chosen)):  # of several classes, another may have taken them all
                continue
            places = np.unique(np.linspace(0, len(group) - 1, min(share, len(group))).astype(int))
            chosen += group[places].tolist()
        groups = [rest for group in groups if len(rest := np.setdiff1d(group, chosen))]
    return np.sort(np.array(chosen[:count], np.int64))
