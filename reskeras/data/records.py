"""Records of a prepared TFDS set by index: of TFRecord files, walked once and remembered, or of ArrayRecord files."""

from __future__ import annotations

import builtins
import hashlib
import os
import resource
import struct
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.data.decode import CHANGED
from reskeras.data.record_index import FOOTER, HEADER, RecordIndex
from reskeras.data.tfds_builder import first_line
from reskeras.errors import ReskerasError, failure

WALKERS = 16  # files that are walked at the same time; each waits for the disk
MOST_OPEN = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4  # files of one split that are kept open


def split_records(builder: Any, name: str) -> Records:
    """The records of one split, which are as many as its description says."""
    layout = builder.info.file_format.value if builder.info.file_format else "tfrecord"
    if layout not in LAYOUTS:
        raise ReskerasError(
            f"data: {builder.info.name} is prepared as {layout}; prepare it with --file_format=tfrecord or array_record"
        )
    records = LAYOUTS[layout]([Path(path) for path in builder.info.splits[name].filepaths])
    count = builder.info.splits[name].num_examples
    if len(records) != count:
        raise failure(
            f"data: the files of split {name} in {builder.data_dir} hold {len(records)} records, "
            f"and their description says {count}"
        )
    return records


def record_facts(builder: Any, sizes: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What distinguishes a prepared set from others of its name: its version, and a hash of the `sizes` of each split's
    records."""
    total = hashlib.sha256()
    for split in sorted(sizes):
        total.update(split.encode() + b"\0" + sizes[split].tobytes())
    return {"set": builder.info.full_name, "records": total.hexdigest()}


class Records(ABC):
    """Files of records as one array of records; `counts` int64 (files,) are how many each file has, `sizes` int64 what
    identifies them: the bytes of each record, or of each file where that would take reading them."""

    sizes: np.ndarray
    counts: np.ndarray

    def __init__(self, paths: Sequence[Path]):
        self.paths = list(paths)

    def __len__(self) -> int:
        return int(self.counts.sum())

    @property
    def bytes(self) -> int:
        """Size of all records together."""
        return int(self.sizes.sum())

    def file_of(self, index: int) -> Path:
        """The file that a record stands in."""
        return self.paths[self._owner(index)]

    def read_all(self, indices: np.ndarray) -> np.ndarray:
        """The bytes of the records at `indices`, as an array of objects."""
        return np.array(self._read_several([int(index) for index in indices]), object)

    def read(self, index: int) -> builtins.bytes:
        """The bytes of one record."""
        return self._read_several([int(index)])[0]

    @abstractmethod
    def _read_several(self, indices: Sequence[int]) -> list[builtins.bytes]:
        """The bytes of the records at `indices`; an OpError where a file is gone or shorter than it was."""

    def _owner(self, index: int) -> int:
        """The number of the file that a record stands in."""
        return int(np.searchsorted(self._ends, index, side="right"))

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum(self.counts)


class TFRecords(Records):
    """TFRecord files. Where each record begins is found by one walk over their headers, which is remembered in the
    user's cache, see record_index.py; nothing else is read until it is asked for."""

    def __init__(self, paths: Sequence[Path]):
        super().__init__(paths)
        index = RecordIndex.remembered(self.paths)
        if index is None:
            with ThreadPoolExecutor(WALKERS) as pool:
                index = RecordIndex.of(self.paths, list(pool.map(_walked, self.paths)))
            index.remember()
        self.sizes, self.counts = index.sizes, index.counts
        ends = np.cumsum(self.sizes + (HEADER + FOOTER))
        firsts = np.concatenate([[0], ends])[np.repeat(np.cumsum(self.counts) - self.counts, self.counts)]
        self.starts = ends - FOOTER - self.sizes - firsts
        self._open: dict[int, int] = {}
        weakref.finalize(self, _close, self._open)

    def _read_several(self, indices: Sequence[int]) -> list[builtins.bytes]:
        found = []
        for index in indices:
            file = self._owner(index)
            descriptor = self._open.get(file)
            kept = descriptor is not None
            if descriptor is None:
                descriptor = opened(self.paths[file])
                kept = len(self._open) < MOST_OPEN and self._open.setdefault(file, descriptor) == descriptor
            try:
                found.append(_read(descriptor, int(self.sizes[index]), int(self.starts[index]), self.paths[file]))
            finally:
                if not kept:
                    os.close(descriptor)
        return found


class ArrayRecords(Records):
    """ArrayRecord files, by the random access of their own library."""

    def __init__(self, paths: Sequence[Path]):
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        super().__init__(paths)
        try:
            self.source = ArrayRecordDataSource([os.fspath(path) for path in paths])
            self.sizes = np.array([path.stat().st_size for path in paths], np.int64)
        except (OSError, RuntimeError, ValueError) as error:
            raise failure(f"data: {paths[0].parent} has broken record files: {first_line(error)}") from error
        self.counts = np.array([each.num_records for each in self.source._read_instructions], np.int64)

    def _read_several(self, indices: Sequence[int]) -> list[builtins.bytes]:
        return list(self.source.__getitems__(indices))


LAYOUTS: dict[str, type[Any]] = {"tfrecord": TFRecords, "array_record": ArrayRecords}


def opened(path: Path) -> int:
    """A descriptor to read parts of `path` with; the kernel reads no more than what is asked for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise tf.errors.NotFoundError(None, None, f"{path}; No such file or directory") from None
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
    return descriptor


def _read(descriptor: int, size: int, start: int, path: Path) -> builtins.bytes:
    data = os.pread(descriptor, size, start)
    if len(data) != size:
        raise tf.errors.DataLossError(None, None, f"[{CHANGED}] [{path}]")  # as a graph's assertion says it
    return data


def _close(descriptors: dict[int, int]) -> None:
    for descriptor in descriptors.values():
        os.close(descriptor)


def _walked(path: Path) -> np.ndarray:
    """The sizes of a file's records, int64, by their headers alone; ReskerasError (status 1) for a broken file."""
    sizes: list[int] = []
    try:
        descriptor = opened(path)
        try:
            end, place = os.fstat(descriptor).st_size, 0
            while place < end:
                header = os.pread(descriptor, HEADER, place)
                if len(header) < HEADER:
                    raise failure(f"data: {path} is cut off after {len(sizes)} records")
                size = struct.unpack("<q", header[:8])[0]
                place += HEADER + size + FOOTER
                if size < 0 or place > end:
                    raise failure(f"data: {path} is cut off or broken after {len(sizes)} records")
                sizes.append(size)
        finally:
            os.close(descriptor)
    except (OSError, tf.errors.OpError) as error:
        raise failure(f"data: {path} cannot be read: {getattr(error, 'strerror', 'it has disappeared')}") from error
    return np.array(sizes, np.int64)
