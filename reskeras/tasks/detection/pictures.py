"""Galleries of test images with boxes drawn in: examples, the worst, confident mistakes, objects never found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reskeras.printable import counted
from reskeras.report.sections import Gallery, Image, photograph
from reskeras.tasks.detection.detection_evaluation import DetectionEvaluation
from reskeras.tasks.detection.detections import Box, Detection, box_of
from reskeras.tasks.detection.drawn_boxes import Mark, cropped, draw_boxes, draw_grid, found_marks
from reskeras.tasks.detection.image_pictures import EXAMPLES, TEXT, WIDE, WORST, ImagePictures
from reskeras.tasks.detection.image_ranks import ImageRank, image_ranks
from reskeras.tasks.detection.mistakes import CONFUSED, CORRECT, DUPLICATE, KINDS, LOCALISATION, SURE

if TYPE_CHECKING:
    from PIL import Image as Picture

IN_GRID = 4
SMALL = 160  # pixels on the page


@dataclass(frozen=True)
class Pictures(ImagePictures):
    """Of a detector's `evaluation`."""

    evaluation: DetectionEvaluation

    def galleries(self) -> Iterator[Gallery]:
        """All non-empty galleries."""
        yield self.examples()
        yield from filter(None, (self.worst(), self.surest_mistakes(), self.never_found()))

    def examples(self) -> Gallery:
        """Evenly spaced test images."""
        indices = self.evenly(EXAMPLES)
        return Gallery(
            f"Examples{self.of}",
            list(map(self._example, indices)),
            f"{len(indices)} of the {self.test.count:,} test images, evenly spaced. Boxes are detections "
            f"with a probability of {SURE:g} or more; objects that none of them finds are dashed.",
            WIDE,
        )

    def worst(self) -> Gallery | None:
        """The images in which most went wrong."""
        ranks = self.ranks()
        if not ranks:
            return None
        return Gallery(
            f"Images with the most mistakes{self.of}",
            [self._example(each.image, each.describe()) for each in ranks[:WORST]],
            f"The worst of {counted(len(ranks), 'test image')} with mistakes. Boxes are detections with a probability "
            f"of {SURE:g} or more; objects that none of them finds are dashed.",
            WIDE,
        )

    def ranks(self) -> list[ImageRank]:
        """The images in which something went wrong, the worst first."""
        return image_ranks(self.evaluation.mistakes, self.test)

    def grid(self, count: int = IN_GRID) -> Picture.Image:
        """Evenly spaced test images in one picture: annotations next to detections."""
        rows = []
        for index in self.evenly(count):
            told, sure, _ = self._summary(index)
            rows.append(
                (
                    f"{self.name_of(index)}: {told}",
                    self.pixels(index),
                    self.true(self.rows(index, ~self.test.ignored), dashed=False),
                    found_marks(self._detections(sure), self.classes),
                )
            )
        return draw_grid(rows)

    def _summary(self, index: int) -> tuple[str, np.ndarray, np.ndarray]:
        """Summary of an image in words; rows of confident detections; rows of objects that none of these finds."""
        found = self.evaluation.mistakes
        sure = np.flatnonzero((found.detections.image == index) & (found.detections.scores >= SURE))
        correct = found.targets[sure[found.kinds[sure] == CORRECT]]
        wanted = self.rows(index, ~self.test.ignored)
        false = int(np.isin(found.kinds[sure], KINDS).sum())
        return (
            f"{len(correct)} of {counted(len(wanted), 'object')} found, {false} false",
            sure,
            np.setdiff1d(wanted, correct),
        )

    def surest_mistakes(self) -> Gallery | None:
        """The false detections with the highest scores."""
        found = self.evaluation.mistakes
        wrong = np.flatnonzero(np.isin(found.kinds, KINDS))
        if not len(wrong):
            return None
        return Gallery(
            f"Most confident mistakes{self.of}",
            list(map(self._mistake, wrong[:WORST])),
            f"The most confident of {len(wrong):,} false detections; the object related to each is dashed.",
            SMALL,
        )

    def never_found(self) -> Gallery | None:
        """Objects without a correct detection: first those without any related detection, then those with a mistake."""
        found = self.evaluation.mistakes
        lost = np.flatnonzero(~self.test.ignored & ~found.found)
        if not len(lost):
            return None
        order = np.lexsort(
            (-np.prod(self.test.boxes[lost, 2:] - self.test.boxes[lost, :2], axis=1), ~found.missed[lost])
        )
        return Gallery(
            f"Never found{self.of}",
            list(map(self._lost, lost[order][:WORST])),
            f"{counted(len(lost), 'object')} that no detection finds, whatever its probability: first those "
            "without a confused or badly placed detection, then the others, the largest first. Not proposed: no "
            "proposal covers the object, so it was never classified.",
            SMALL,
        )

    def _example(self, index: int, words: str = "") -> Image:
        told, sure, unfound = self._summary(index)
        told = words or told
        marks = [*found_marks(self._detections(sure), self.classes), *self.true(unfound)]
        return self.shown(index, marks, "the detections", told)

    def _mistake(self, row: int) -> Image:
        found = self.evaluation.mistakes
        one, target, image = self._detections([row])[0], found.targets[row], int(found.detections.image[row])
        about = {CONFUSED: "is {}", LOCALISATION: "is badly placed", DUPLICATE: "is already found"}
        kind = found.kinds[row]
        true = self.classes[self.test.labels[target]] if target >= 0 else ""
        words = about.get(kind, "badly placed, is {}" if true else "is background").format(true)
        marks = [*found_marks([one], self.classes), *(self.true([target]) if target >= 0 else [])]
        both = [one.box, *(mark.box for mark in marks[1:])]
        around = (*np.min([box[:2] for box in both], axis=0), *np.max([box[2:] for box in both], axis=0))
        told = f"{one.name} ({one.score:.0%}) {words}"
        return self._crop(image, [mark.plain() for mark in marks], around, told, "A false detection")

    def _lost(self, row: int) -> Image:
        found, image = self.evaluation.mistakes, int(np.searchsorted(self.test.starts, row, side="right") - 1)
        told = self.classes[self.test.labels[row]]
        if found.unproposed is not None and found.unproposed[row]:
            told += ", not proposed"
        elif not found.missed[row]:
            about = found.kinds[found.targets == row]
            told += ", confused with another class" if CONFUSED in about else ", badly placed"
        box = box_of(self.test.boxes[row])
        return self._crop(image, [mark.plain() for mark in self.true([row])], box, told, "An object never found")

    def _crop(self, image: int, marks: list[Mark], around: Box, told: str, what: str) -> Image:
        picture = draw_boxes(*cropped(self.pixels(image), marks, around, 2 * SMALL), text=2 * TEXT)
        name = self.name_of(image)
        return Image(photograph(picture), f"{what} in test image {name}: {told}", f"{told}. {name}")

    def _detections(self, rows: Iterable[int]) -> list[Detection]:
        told = self.evaluation.mistakes.detections
        labels = told.labels.tolist()
        return [
            Detection(self.classes[labels[row]], float(told.scores[row]), box_of(told.boxes[row]), labels[row])
            for row in rows
        ]
