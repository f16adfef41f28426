"""Pictures of test images for report pages, with boxes drawn in: the base of the galleries of tasks on boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from reskeras.data.batches import examples
from reskeras.report.sections import Image, photograph
from reskeras.tasks.detection.drawn_boxes import Mark, draw_boxes, enlarged, true_marks
from reskeras.tasks.detection.objects import Objects

EXAMPLES, WORST = 12, 12
WIDE = 330  # pixels on the page
SHARP, TEXT = 3 / 2, 12  # pixels of a picture per pixel on the page; text size on the page


@dataclass(frozen=True)
class ImagePictures:
    """The images of `test` with what an `evaluation` found in them; `of` is appended to titles, such as ", run"."""

    test: Objects
    evaluation: Any
    classes: tuple[str, ...]
    of: str = ""

    def shown(self, index: int, marks: Sequence[Mark], what: str, told: str) -> Image:
        """A test image with `marks`, "with `what` drawn in", and what is `told` of it."""
        picture = draw_boxes(*enlarged(self.pixels(index), marks, round(SHARP * WIDE)), text=round(SHARP * TEXT) - 3)
        name = self.name_of(index)
        return Image(photograph(picture), f"Test image {name} with {what} drawn in: {told}", f"{name}: {told}")

    def evenly(self, count: int) -> np.ndarray:
        """At most `count` evenly spaced images."""
        return np.unique(np.linspace(0, self.test.count - 1, min(count, self.test.count)).astype(int))

    def true(self, rows: Any, dashed: bool = True) -> list[Mark]:
        """Marks of the objects in `rows`."""
        return true_marks(self.test.boxes[rows], self.test.labels[rows], self.classes, dashed)

    def rows(self, index: int, mask: np.ndarray) -> np.ndarray:
        """The rows of an image's objects where `mask` is true."""
        rows = np.arange(self.test.starts[index], self.test.starts[index + 1])
        return rows[mask[rows]]

    def pixels(self, index: int) -> np.ndarray:
        """An image, uint8."""
        return next(examples(self.test.images(), [index]))[0].numpy()

    def name_of(self, index: int) -> str:
        """What an image is called."""
        return PurePath(str(self.test.ids[index])).name
