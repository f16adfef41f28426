"""What a source is opened for: a training, or testing a run of certain classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reskeras.data.division import DIVISION


@dataclass(frozen=True)
class Purpose:
    """`data_dir` is where TFDS sets are prepared. `division` is the version of the rule by which images are held back,
    which a run keeps. `testing` are the classes of a run that the source is to test, empty if the run has no class
    names; None for a training."""

    data_dir: str | Path | None = None
    division: int = DIVISION
    testing: Sequence[str] | None = None
