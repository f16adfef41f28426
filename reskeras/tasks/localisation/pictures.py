"""Galleries of test images with a localiser's boxes drawn in: examples, and the wrong boxes it is surest of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reskeras.printable import counted
from reskeras.report.sections import Gallery, Image
from reskeras.tasks.detection.detections import box_of
from reskeras.tasks.detection.drawn_boxes import Mark, colour_of
from reskeras.tasks.detection.image_pictures import EXAMPLES, WIDE, WORST, ImagePictures
from reskeras.tasks.localisation.evaluation import LocalisationEvaluation

HOW = "The boxes for the classes that an image holds, with their probability; the objects are dashed."


@dataclass(frozen=True)
class LocalisedPictures(ImagePictures):
    """Of a localiser's `evaluation`."""

    evaluation: LocalisationEvaluation

    def galleries(self) -> Iterator[Gallery]:
        """All that are not empty."""
        indices = self.evenly(EXAMPLES)
        words = f"{len(indices)} of the {self.test.count:,} test images, evenly spaced. {HOW}"
        yield Gallery(f"Examples{self.of}", [self._example(index) for index in indices], words, WIDE)
        images, labels = np.nonzero(self._held & ~self.evaluation.right)
        if len(images):
            surest = np.argsort(-self.evaluation.located.scores[images, labels, 0], kind="stable")[:WORST]
            chosen = list(dict.fromkeys(images[surest].tolist()))
            words = f"The most confident of {counted(len(images), 'wrong box', 'wrong boxes')}. {HOW}"
            yield Gallery(f"Most confident mistakes{self.of}", [self._example(index) for index in chosen], words, WIDE)

    @cached_property
    def _held(self) -> np.ndarray:
        """Which classes each image holds, bool (n, C)."""
        return self.test.held(len(self.classes))

    def _example(self, index: int) -> Image:
        located = self.evaluation.located
        marks, told = [], []
        for label in np.flatnonzero(self._held[index]):
            name, score = self.classes[label], float(located.scores[index, label, 0])
            box = box_of(located.boxes[index, label, 0])
            marks.append(Mark(box, colour_of(name, self.classes), f"{name} {score:.2f}", f"{score:.2f}"))
            told.append(f"{name} {score:.0%}, IoU {self.evaluation.overlaps[index, label]:.2f}")
        true = [mark.plain() for mark in self.true(self.rows(index, ~self.test.ignored))]
        return self.shown(index, [*marks, *true], "its boxes", "; ".join(told))
