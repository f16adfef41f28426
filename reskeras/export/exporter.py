"""Export of any task: artefacts are written to a workspace, verified on real images, then published or rejected."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from reskeras import artefacts
from reskeras.artefacts import VERIFIED, artefacts_of
from reskeras.errors import ReskerasError, failure, unknown
from reskeras.export.proof import Proof
from reskeras.export.proofs_file import write_proofs
from reskeras.export.runtimes import has_runtime
from reskeras.export.speed import Asked, speeds
from reskeras.files import move, remove, workspace

MOST_AT_A_TIME = 1024  # images in a fixed batch
NOISE_SAMPLE = 8  # images that the Keras model also evaluates one at a time


@dataclass(frozen=True)
class Written:
    """An artefact at `path`, in a workspace, and its proof. `publish` moves it into place and returns its path."""

    path: Path
    proof: Proof
    publish: Callable[[], Path]


@dataclass(frozen=True)
class Exporter(ABC):
    """A run's best model and real images, for any number of artefacts called `name` in the run's export `folder`.

    `tolerances` are by kind; `images` is how many test images artefacts are verified on, at most; `batch` how many
    those that are files take at a time, None for any number; `digest` is that of the model. What writes and verifies
    each kind stands in the table of `reskeras/artefacts.py`, under the name of the `task`.
    """

    folder: Path
    name: str
    tolerances: Mapping[str, float] = field(default_factory=dict, kw_only=True)
    images: int = field(default=VERIFIED, kw_only=True)
    timing: bool = field(default=True, kw_only=True)
    batch: int | None = field(default=None, kw_only=True)
    digest: str = field(default="", kw_only=True)
    task: ClassVar[str]
    batches: ClassVar[tuple[int, ...]] = (1, 32)  # batch sizes of the timings
    told: ClassVar[str] = ""  # added to the message that refuses a kind
    impossible: ClassVar[Mapping[str, str]] = MappingProxyType({})  # beginnings of kinds that cannot be, and why

    @abstractmethod
    def given(self, kind: str, count: int) -> Mapping[str, np.ndarray]:
        """The first images, at most `count`, as artefacts of a kind take them, by name of the input."""

    @abstractmethod
    def noise(self, proof: Proof) -> float | None:
        """How much Keras' own outputs change when images are evaluated one at a time, for a failed proof."""

    @classmethod
    def check(
        cls,
        kinds: Sequence[str],
        tolerances: Mapping[str, float] = MappingProxyType({}),
        batch: int | None = None,
        images: int = VERIFIED,
    ) -> None:
        """ReskerasError (status 2) for an unknown kind, one that needs a package which is missing, a tolerance of a
        kind that is not among `kinds`, a `batch` that none of them can have, and no images."""
        if images < 1:
            raise ReskerasError(f"images: {images}: should be at least 1")
        known = artefacts_of(cls.task)
        for kind in kinds:
            if kind not in known:
                for beginning, why in cls.impossible.items():
                    if kind.startswith(beginning):
                        raise ReskerasError(f"to: {kind}: {why}")
                raise unknown("to", kind, known, *([cls.told] if cls.told else []))
            if missing := known[kind].missing():
                raise ReskerasError(f"to: {kind} needs {' and '.join(missing)}; {known[kind].command}")
        if batch is not None:
            if not 1 <= batch <= MOST_AT_A_TIME:
                raise ReskerasError(f"batch: {batch} is out of range; use 1 to {MOST_AT_A_TIME}, or free")
            if not any(known[kind].batched for kind in kinds):
                raise ReskerasError(f"batch: {batch}: {', '.join(kinds)} cannot have a fixed batch; use free")
        for kind, allowed in tolerances.items():
            if kind not in kinds:
                raise unknown("tolerance", kind, kinds)
            if not 0 <= allowed < inf:
                raise ReskerasError(f"tolerance: {kind}: {allowed} should be finite and not negative")

    def export(self, kinds: Sequence[str], tell: Callable[[str], None] = lambda note: None) -> list[Proof]:
        """Export each of `kinds`, without duplicates; the proofs are also written to report.json.

        An artefact that differs from the Keras model by more than its tolerance is moved to `rejected/`, and a
        ReskerasError (status 1) is raised at the end, when all have been written.
        """
        proofs = []
        for kind in dict.fromkeys(kinds):
            tell(kind)
            proofs.append(self._export(kind))
        proofs = self.timed(proofs, artefacts.THREADS, artefacts.TURNS, tell) if self.timing else proofs
        write_proofs(self.folder, proofs, self.digest)
        if rejected := [proof for proof in proofs if not proof.holds]:
            raise failure(
                "export: rejected, not equivalent to the model: " + ", ".join(proof.objection for proof in rejected)
            )
        return proofs

    def timed(
        self, proofs: Sequence[Proof], threads: int, turns: int, tell: Callable[[str], None] = lambda note: None
    ) -> list[Proof]:
        """The proofs with the speeds, measured now, of those artefacts that hold and that a runtime opens."""
        asked = {}
        for proof in proofs:
            if proof.holds and has_runtime(Path(proof.path)):
                batches = (proof.batch,) if proof.batch else self.batches
                asked[proof.path] = Asked(Path(proof.path), self.given(proof.kind, max(batches)), batches)
        found = speeds(asked, threads, turns, tell)
        return [replace(proof, speed=found.get(proof.path)) for proof in proofs]

    def _export(self, kind: str) -> Proof:
        with workspace(self.folder) as place:
            written = artefacts_of(self.task)[kind].write(self, kind, place)
            proof = replace(written.proof, model=self.digest)
            if proof.holds:
                return replace(proof, path=str(written.publish()))
            aside = self.folder / "rejected" / f"{self.name}-{kind}"  # servers do not look there
            remove(aside)
            noise = None if proof.crash else self.noise(proof)
            return replace(proof, path=str(move(written.path, aside)), keras_noise=noise)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def check_place(folder: Path) -> None:
    """ReskerasError (status 2) unless an export folder can be written to."""
    place = folder if folder.exists() else folder.parent
    if not os.access(place, os.W_OK) or (folder.exists() and not folder.is_dir()):
        raise ReskerasError(f"export: {folder} is not a writable folder")
