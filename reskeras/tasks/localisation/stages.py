"""The stages of a localisation (v1 appendix C): a localiser's best boxes, and refiners that judge them anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.localisation.localiser import Localiser, Located
from reskeras.tasks.localisation.rule import top, wanted_classes

if TYPE_CHECKING:
    from reskeras.tasks.refinement.refiner import Refiner

LIKELIEST = 5  # classes whose boxes are judged anew, where nobody says the class


@dataclass(frozen=True)
class Stages:
    """A localiser, maybe an ensemble, and the refiners that judge as many of its boxes as the first of them says; what
    these say is averaged."""

    localiser: Localiser
    refiners: tuple[Refiner, ...] = ()

    def describe(self) -> str:
        """How images are looked at, in a few words."""
        several = len(self.localiser.members)
        words = [*([f"ensemble of {several} localisers"] if several > 1 else []), self.localiser.views.describe()]
        if self.refiners:
            by = f" by {len(self.refiners)} refiners" if len(self.refiners) > 1 else ""
            words.append(f"the best {self._count} boxes judged anew{by}")
        return ", ".join(words)

    @property
    def _count(self) -> int:
        return self.refiners[0].plan.spec.count

    def located(
        self, images: Objects, wanted: np.ndarray, progress: Callable[[int, int], None] = lambda done, of: None
    ) -> Located:
        """The best box of every class, or with refiners of those that an image has `wanted`, bool (n, C)."""
        if not self.refiners:
            return self.localiser.look(images, progress)
        from reskeras.tasks.refinement.refiner import best_of

        labels = wanted_classes(wanted)
        candidates = self.localiser.candidates(images, labels, self._count)
        every = [each.judged(images, labels, candidates, progress) for each in self.refiners]
        judged = Located(*(np.mean([getattr(each, name) for each in every], axis=0) for name in ("scores", "boxes")))
        return best_of(judged, labels, wanted.shape[1])

    def likeliest(
        self, images: Objects, most: int = LIKELIEST, progress: Callable[[int, int], None] = lambda done, of: None
    ) -> tuple[Located, np.ndarray]:
        """The best box of every class where nobody says the class, and of which classes there is one, bool (n, C): with
        refiners of the `most` likeliest by the localiser."""
        first = self.localiser.look(images, progress)
        count, classes, _ = first.scores.shape
        if not self.refiners:
            return first, np.ones((count, classes), bool)
        wanted = chosen(top(first.scores[:, :, 0], most), classes)
        return self.located(images, wanted, progress), wanted


def chosen(labels: np.ndarray, classes: int) -> np.ndarray:
    """Which of so many classes are among the `labels` (n, k) of each image, bool (n, classes)."""
    found = np.zeros((len(labels), classes), bool)
    np.put_along_axis(found, labels, True, axis=1)
    return found
