"""Export of models that find boxes: what is compared with the Keras model, image by image, and their SavedModels."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from reskeras.artefacts import SERVING, VERIFIED_BOXES
from reskeras.data.source import Source
from reskeras.export.aside import Answers
from reskeras.export.exporter import NOISE_SAMPLE, Written, check_place, size_of
from reskeras.export.file_kinds import FileExporter
from reskeras.export.lite import LITE, LITE_KINDS, lite_kind
from reskeras.export.proof import Proof
from reskeras.export.serving import SIGNATURES, publish, write_saved_model
from reskeras.runs import RunFolder
from reskeras.tasks.detection.average_precision import Detections
from reskeras.tasks.detection.detection_proof import TOLERANCE, answers, compared, files_of, prove_boxes, sample_of
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.detection.served import FILES, SavedFinder, ServedFinder
from reskeras.tasks.task import find_task


@dataclass(frozen=True)
class BoxesExporter(FileExporter):
    """Exports a model that finds boxes of `classes`, and verifies it on the real images of `sample`."""

    classes: Sequence[str]
    sample: Objects
    images: int = field(default=VERIFIED_BOXES, kw_only=True)
    batches: ClassVar[tuple[int, ...]] = (1, 4)
    accuracy_of: ClassVar[str]  # what `accuracy` is
    signatures: ClassVar[tuple[str, ...]] = SIGNATURES

    @classmethod
    def of(cls, run: RunFolder, source: Source[Objects], name: str, **request: Any) -> Self:
        """The exporter of a run's best model, with test images of `source`; `request` are the other fields."""
        check_place(run.export_folder)
        request = {"images": VERIFIED_BOXES} | request | {"digest": run.digest()}
        return cls(run.export_folder, name, run.classes(), sample_of(source.test, request["images"]), **request)

    @abstractmethod
    def seen(self, images: Objects, batch: int | None = None) -> Detections:
        """The boxes of the Keras model in `images`, `batch` at a time."""

    @abstractmethod
    def accuracy(self, found: Detections) -> float:
        """How right boxes in the sample are, 0 to 1."""

    @abstractmethod
    def served(self) -> ServedFinder:
        """What a server runs."""

    @abstractmethod
    def detections(self, answers: Mapping[str, np.ndarray]) -> Detections:
        """The boxes that an artefact which is a file answers for `inputs`."""

    @cached_property
    def reference(self) -> Detections:
        """The boxes of the Keras model in the sample."""
        return self.seen(self.sample)

    def given(self, kind: str, count: int) -> dict[str, np.ndarray]:
        """As any exporter; SavedModels take files."""
        return {FILES: np.array(list(files_of(self.first(count))))} if kind == SERVING else self.inputs(count)

    def first(self, count: int) -> Objects:
        """The first images of the sample, at most `count`."""
        return self.sample.part("some", np.arange(min(count, self.sample.count)))

    def noise(self, proof: Proof) -> float:
        """In terms of the difference of partners."""
        few = self.first(NOISE_SAMPLE)
        return compared(self.seen(few, 1), self.reference.part(self.reference.image < few.count), self.sample.sizes)[0]

    def proof(self, kind: str, path: Path, found: Detections, tolerance: float = TOLERANCE) -> Proof:
        """The proof that compares what an artefact finds in the sample with the reference."""
        accuracies = self.accuracy(found), self.accuracy(self.reference)
        allowed = self.tolerances.get(kind, tolerance)
        described = kind, str(path), size_of(path)
        return prove_boxes(*described, found, self.reference, self.sample, accuracies, self.accuracy_of, allowed)

    def proof_of(self, kind: str, path: Path, answers: Answers) -> Proof:
        """As any exporter of files."""
        return self.proof(kind, path, self.detections(answers.values), _tolerance(kind))

    def nothing(self, kind: str, path: Path) -> Proof:
        """As any exporter of files."""
        return self.proof(kind, path, self.reference.part(np.zeros(0, int)), _tolerance(kind))


def _tolerance(kind: str) -> float:
    return max(LITE_KINDS[lite_kind(kind)].tolerance, TOLERANCE) if kind.startswith(LITE) else TOLERANCE


def write_served(exporter: BoxesExporter, kind: str, place: Path) -> Written:
    """A SavedModel."""
    batches = find_task(exporter.task).served_batches()
    path = write_saved_model(exporter.served(), place, exporter.name, batches, exporter.signatures)
    found = answers(SavedFinder(path, exporter.classes), files_of(exporter.sample))
    return Written(
        path, exporter.proof(kind, path, found), lambda: publish(path, exporter.folder / exporter.name, batches)
    )
