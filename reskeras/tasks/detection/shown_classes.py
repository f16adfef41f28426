"""`classes:DATA`: annotated images for classifiers, by the classes of the objects in them; no box is used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from reskeras.data.purpose import Purpose
from reskeras.data.source import Source, Split
from reskeras.tasks.detection.opening import open_objects


def open_classes(name: str, purpose: Purpose) -> Source[Split]:
    """The annotated images called `name` with the classes of their objects, ignored ones apart: multi-label unless each
    image shows objects of exactly one class.

    Opened for testing it is as for training. Raises ReskerasError (status 2) as `open_objects` does.
    """
    boxes: Source[Any] = open_objects(name, purpose.data_dir, division=purpose.division, testing=purpose.testing)
    shown = {part: split.held(len(boxes.classes)) for part, split in boxes.splits().items()}
    several = any((each.sum(axis=1) != 1).any() for each in shown.values())
    splits: dict[str, Any] = {
        part: split.images(shown[part].astype(np.uint8) if several else shown[part].argmax(axis=1).astype(np.int32))
        for part, split in boxes.splits().items()
    }
    note = "images are labelled by the classes of their objects"
    return replace(
        boxes,
        notes=(*boxes.notes, f"{note}; some show several, or none" if several else note),
        multi_label=several,
        **splits,
    )
