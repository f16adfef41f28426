"""Kinds of artefacts that one runtime opens as a file: made, run by it in a process of its own, proven, described."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from reskeras.export.aside import CHUNK, Answers, Crash, answers_aside
from reskeras.export.exporter import Exporter, Written
from reskeras.export.half import layer_at_fault
from reskeras.export.lite import LITE, LITE_KINDS, NotConverted, lite_kind, write_lite_model
from reskeras.export.lite_metadata import tensors_of
from reskeras.export.portable import ONNX, OPENVINO, write_onnx, write_openvino
from reskeras.export.proof import Proof, Trial
from reskeras.export.serving import Convertible
from reskeras.export.usage import Usage
from reskeras.files import move, remove, write_json, write_text

HALF = "float16"
LEAST = 0.99  # agreement in another precision than that of the proof
LOG = "what was said"


@dataclass(frozen=True)
class FileExporter(Exporter):
    """An exporter whose artefacts may be files: `what` such a file holds, in words, and how many images at a time fit
    into memory (`chunk`)."""

    what: ClassVar[str]
    chunk: ClassVar[int] = CHUNK

    @property
    @abstractmethod
    def usage(self) -> Usage:
        """How a program uses them."""

    @abstractmethod
    def inputs(self, count: int | None = None) -> dict[str, np.ndarray]:
        """The sample, or its first `count` images, as artefacts take it, by name."""

    @abstractmethod
    def module(self, kind: str) -> Convertible:
        """What the artefact computes, for the exporter's batch."""

    @abstractmethod
    def proof_of(self, kind: str, path: Path, answers: Answers) -> Proof:
        """The proof that compares an artefact's answers for the sample with the Keras model's."""

    @abstractmethod
    def nothing(self, kind: str, path: Path) -> Proof:
        """The proof of an artefact that answers nothing."""

    def write_lite(self, kind: str, path: Path) -> None:
        """Write a `.tflite`."""
        write_lite_model(self.module(kind), path, lite_kind(kind), what=self.what)


@dataclass(frozen=True)
class FileKind:
    """How one kind is made, run and named in the export folder.

    artefact: what is published, a file or a folder. file: what the runtime opens. facts: the JSON file that describes
    it. make: writes `file` for an exporter and a kind, and returns the facts. precision: what the proof is computed in.
    also: another precision that it is tried in, None for none, and whether it is `bound` to agree there.
    """

    artefact: str
    file: str
    facts: str
    make: Callable[[FileExporter, str, Path], dict[str, Any]]
    precision: str = ""
    also: str | None = None
    bound: bool = False


def file_kind(kind: str, name: str) -> FileKind:
    """The kind of artefacts of a model called `name`."""
    if kind.startswith(ONNX):
        file = f"{name}{kind.removeprefix(ONNX)}.onnx"
        return FileKind(file, file, f"{file}.json", _make_onnx)
    if kind.startswith(OPENVINO):
        folder = f"{name}-{kind}"
        files = f"{folder}/{name}.xml", f"{folder}/{name}.json"
        return FileKind(folder, *files, _make_openvino, precision="f32", also="", bound=True)
    stem = f"{name}{kind.removeprefix(LITE)}"
    how = LITE_KINDS[lite_kind(kind)]
    computed_in_float = how.activations == "float32" and how.weights != "int8"
    return FileKind(
        f"{stem}.tflite", f"{stem}.tflite", f"{stem}.json", _make_lite, also=HALF if computed_in_float else None
    )


def _make_onnx(exporter: FileExporter, kind: str, path: Path) -> dict[str, Any]:
    return write_onnx(exporter.module(kind), path, exporter.usage, exporter.what, kind)


def _make_openvino(exporter: FileExporter, kind: str, path: Path) -> dict[str, Any]:
    return write_openvino(exporter.module(kind), path, exporter.usage, exporter.what, kind)


def _make_lite(exporter: FileExporter, kind: str, path: Path) -> dict[str, Any]:
    try:
        exporter.write_lite(kind, path)
    except NotConverted as error:
        raise Crash(f"cannot be made: {error.why}") from error
    return exporter.usage.facts(lite_kind(kind), *tensors_of(path.read_bytes()))


def write_file(exporter: FileExporter, kind: str, place: Path) -> Written:
    """An artefact of a kind that is a file, with the proof of what its runtime answers in a process of its own."""
    how = file_kind(kind, exporter.name)
    artefact, file, final = place / how.artefact, place / how.file, exporter.folder / how.artefact
    try:
        facts = how.make(exporter, kind, file)
    except Crash as error:
        log = place / LOG
        write_text(log, f"{kind} {error}\n")
        return Written(log, replace(exporter.nothing(kind, log), bytes=0, crash=str(error)), lambda: log)
    try:
        answers = answers_aside(file, exporter.inputs(), how.precision, exporter.chunk)
    except Crash as error:
        return Written(artefact, replace(exporter.nothing(kind, artefact), crash=str(error)), lambda: artefact)
    proof = exporter.proof_of(kind, artefact, answers)
    if how.also is not None:
        proof = replace(proof, trials=(_tried(exporter, kind, file, how),))

    def published() -> Path:
        inside = how.facts.startswith(f"{how.artefact}/")
        write_json((place if inside else exporter.folder) / how.facts, facts, indent=1)
        remove(final)
        return move(artefact, final)

    return Written(artefact, replace(proof, batch=exporter.batch), published)


def _tried(exporter: FileExporter, kind: str, file: Path, how: FileKind) -> Trial:
    """What the artefact answers in the other precision, and the layer at fault where it is not what it should be."""
    try:
        answers = answers_aside(file, exporter.inputs(), how.also or "", exporter.chunk)
    except Crash as error:
        return Trial(how.also or "default", np.inf, 0.0, LEAST, how.bound, str(error))
    proof = exporter.proof_of(kind, file, answers)
    agreement = proof.integers.top if proof.integers else proof.agreement  # with what is proven first
    trial = Trial(answers.precision, proof.difference, agreement, LEAST, how.bound)
    if how.also == HALF and not trial.holds:
        trial = replace(trial, found=layer_at_fault(file, exporter.inputs(), answers.values))
    return trial
