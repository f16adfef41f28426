"""Some images of each class alike, the same ones each time."""

from __future__ import annotations

import numpy as np

from reskeras.data.source import Split
from reskeras.data.survey import labels_of


def part_of_each_class(split: Split, count: int) -> Split:
    """`count` images of `split`, or all there are, as many of each class as there can be, in the split's order."""
    if split.count <= count:
        return split
    indices, labels = labels_of(split)
    return split.part(split.name, indices[sample_of_each_class(labels, count)])


def sample_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """Indexes of `count` of `labels`, as many of each class as there can be, evenly spaced within it; sorted."""
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    chosen: list[int] = []
    while groups and len(chosen) < count:  # classes with few images leave their share to the others
        share = max((count - len(chosen)) // len(groups), 1)
        for group in groups[: count - len(chosen)]:
            places = np.unique(np.linspace(0, len(group) - 1, min(share, len(group))).astype(int))
            chosen += group[places].tolist()
        groups = [rest for group in groups if len(rest := np.setdiff1d(group, chosen))]
    return np.sort(np.array(chosen[:count], np.int64))
