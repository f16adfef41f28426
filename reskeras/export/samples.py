"""Real images that artefacts are measured on, of each class alike."""

from __future__ import annotations

import numpy as np

from reskeras.data.pipeline import evaluation_images
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Split
from reskeras.data.survey import labels_of
from reskeras.errors import ReskerasError


def images_of_each_class(split: Split, preprocessing: Preprocessing, count: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images (n, height, width, channels), int32 labels (n,): `count`, or all there are, of each class alike."""
    if count < 1:
        raise ReskerasError(f"representative: {count}: should be at least 1")
    part = split
    if split.count > count:
        indices, labels = labels_of(split)
        part = split.part(split.name, indices[sample_of_each_class(labels, count)])
    return evaluation_images(part, preprocessing, part.count)


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
