"""What runs on annotated images have in common: how they are exported."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from reskeras.artefacts import VERIFIED_BOXES
from reskeras.caller_state import preserved
from reskeras.data.registry import Data
from reskeras.export.proof import Proof
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.run import Run

if TYPE_CHECKING:
    from reskeras.data.source import Source
    from reskeras.tasks.detection.boxes_export import BoxesExporter


class ObjectRun(Run[Objects]):
    """A trained run that finds boxes. `kinds` are the artefacts that it is exported as where none is named."""

    kinds: ClassVar[tuple[str, ...]] = ("serving",)

    @preserved()
    def export(
        self,
        *kinds: str,
        data: str | None = None,
        data_dir: str | Path | None = None,
        tolerances: Mapping[str, float] = MappingProxyType({}),
        images: int = VERIFIED_BOXES,
        timing: bool = True,
        batch: int | None = None,
        tell: Callable[[str], None] = lambda note: None,
    ) -> list[Proof]:
        """Artefacts, each verified on real test images, at most `images`: by default those of `kinds`. `serving` is a
        SavedModel that takes image files and returns boxes, scores and class names; for the others see the kind of run.

        `tolerances` are by kind: how much a probability, or a corner as a share of the image's longer side, may differ.
        `.tflite`, ONNX and OpenVINO files take `batch` images at a time, by default any number. `tell` gets each kind
        as it begins, and a note of a model card that is kept because it was edited. An artefact that differs by more is
        moved aside, with a ReskerasError (status 1).
        """
        from reskeras.tasks.cards import carded  # not needed for training

        kinds = kinds or self.kinds
        self.check_export(kinds, tolerances, batch, images)
        self.folder.model_file  # noqa: B018 - raises before the data is opened
        request = {"tolerances": tolerances, "images": images, "timing": timing, "batch": batch}
        made = self.exporter(self.source(data, data_dir), **request)
        with carded(self, tell):
            return made.export(kinds, tell)

    def verifier(self, data: Data | None, data_dir: str | Path | None) -> BoxesExporter:
        """As any run's."""
        return self.exporter(self.source(data, data_dir))

    @abstractmethod
    def check_export(
        self, kinds: tuple[str, ...], tolerances: Mapping[str, float], batch: int | None, images: int
    ) -> None:
        """ReskerasError (status 2) for artefacts that there cannot be."""

    @abstractmethod
    def exporter(self, source: Source[Objects], **request: Any) -> BoxesExporter:
        """What exports the best model, verified on test images of `source`; `request` are fields of any exporter."""
