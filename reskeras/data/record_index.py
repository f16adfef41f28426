"""The index of TFRecord files: how large each record is. The format has none, and making one touches every record."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from reskeras.data.user_cache import cache_file
from reskeras.errors import ReskerasError
from reskeras.files import atomic_file

VERSION = 1
HEADER, FOOTER = 12, 4  # TFRecord: length (8 bytes) and its checksum before the data, the data's checksum after


@dataclass(frozen=True)
class RecordIndex:
    """Sizes of records in bytes, int64, in the order of the `paths`; `counts` int64 (files,) are how many each has, and
    `stamps` int64 (files, 2) the size and the modification time in ns of each when it was indexed."""

    paths: Sequence[Path]
    sizes: np.ndarray
    counts: np.ndarray
    stamps: np.ndarray

    @classmethod
    def of(cls, paths: Sequence[Path], sizes: Sequence[np.ndarray]) -> RecordIndex:
        """The index of files whose records have the `sizes` of each."""
        none = np.empty(0, np.int64)
        return cls(paths, np.concatenate([none, *sizes]), np.array([len(each) for each in sizes]), _stamps(paths))

    @classmethod
    def remembered(cls, paths: Sequence[Path]) -> RecordIndex | None:
        """The index in the user's cache, if it is of these files as they are now."""
        place = cache_file("records", paths, ".npz")
        if place is None:
            return None
        try:
            with np.load(place, allow_pickle=False) as arrays:
                if int(arrays["version"]) != VERSION or not np.array_equal(arrays["stamps"], _stamps(paths)):
                    return None
                total = int(arrays["stamps"][:, 0].sum())
                if sum(member.file_size for member in arrays.zip.infolist()) > total + (1 << 20):
                    return None
                index = cls(paths, *(arrays[name].astype(np.int64) for name in ("sizes", "counts", "stamps")))
        except (OSError, ValueError, EOFError, KeyError, AttributeError, MemoryError, BadZipFile, zlib.error):
            return None
        return index if index._fits() else None

    def remember(self) -> None:
        """Write the index to the user's cache; without a word where that cannot be written to."""
        place = cache_file("records", self.paths, ".npz")
        if place is None:
            return
        largest = int(self.sizes.max(initial=0))
        compact = self.sizes.astype(np.uint32 if largest < 1 << 32 else np.int64)
        with suppress(ReskerasError), atomic_file(place) as beside, beside.open("wb") as file:
            np.savez(file, version=VERSION, sizes=compact, counts=self.counts, stamps=self.stamps)

    def _fits(self) -> bool:
        """Whether the records fill the files to the last byte."""
        counts, sizes = self.counts, self.sizes
        if counts.shape != (len(self.paths),) or sizes.ndim != 1 or (counts < 0).any() or counts.sum() != len(sizes):
            return False
        filled = np.concatenate([[0], np.cumsum(sizes + (HEADER + FOOTER))])[np.concatenate([[0], np.cumsum(counts)])]
        return bool((sizes >= 0).all()) and np.array_equal(np.diff(filled), self.stamps[:, 0])


def _stamps(paths: Sequence[Path]) -> np.ndarray:
    status = [path.stat() for path in paths]
    return np.array([(each.st_size, each.st_mtime_ns) for each in status], np.int64).reshape(-1, 2)
