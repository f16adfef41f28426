"""Checkpoints on disk: written atomically, the newest few kept, broken ones skipped."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from reskeras.bounded import check_archive
from reskeras.errors import ReskerasError
from reskeras.files import atomic_file, remove

NAME = re.compile(r"state-(\d{6})-(\d{8})\.npz")  # finished epochs, steps of the next one


def packed(arrays: Mapping[str, np.ndarray] | None) -> bytes:
    """A checkpoint as bytes; empty for none."""
    content = io.BytesIO()
    if arrays is not None:
        np.savez(content, **arrays)  # type: ignore[arg-type]  # to its stub ** may hold allow_pickle
    return content.getvalue()


def unpacked(content: bytes) -> dict[str, np.ndarray] | None:
    """What `packed` made; nothing in it is executed."""
    if not content:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


class Checkpoints:
    """The folder of a run's checkpoints."""

    def __init__(self, folder: Path, keep: int):
        self.folder, self.keep = folder, keep

    def all(self) -> list[Path]:
        """All checkpoints, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if NAME.fullmatch(path.name))

    def save(self, arrays: Mapping[str, np.ndarray], epoch: int, step: int) -> None:
        """Write a checkpoint, then remove the oldest ones beyond `keep`.

        Raises ReskerasError (status 1) when it cannot be written; earlier checkpoints are left untouched.
        """
        path, last = self.folder / f"state-{epoch:06d}-{step:08d}.npz", self.all()
        otherwise = f"; {last[-1].name} is intact, and --resume continues from it" if last else ""
        with atomic_file(path, otherwise, durable=True) as beside:
            np.savez(beside, **arrays)  # type: ignore[arg-type]  # to its stub ** may hold allow_pickle
        for old in self.all()[: -self.keep]:
            remove(old)

    def newest(self, tell: Callable[[str], None]) -> dict[str, np.ndarray] | None:
        """The newest readable checkpoint, or None; `tell` gets a line for each broken one."""
        for path in reversed(self.all()):
            try:
                check_archive(path, "checkpoint")
                with np.load(path, allow_pickle=False) as file:
                    return {name: file[name] for name in file.files}  # reading checks each entry's CRC
            except (
                OSError,
                ValueError,
                EOFError,
                KeyError,
                zipfile.BadZipFile,
                zlib.error,
                RuntimeError,
                MemoryError,
                ReskerasError,
            ) as error:
                tell(f"checkpoint {path.name} is broken and was skipped: {error}")
        return None
