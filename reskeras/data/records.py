"""Records of a prepared TFDS set: TFRecord files as one array, without reading what they hold."""

from __future__ import annotations

import builtins
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reskeras.errors import ReskerasError, failure

HEADER, FOOTER = 12, 4  # TFRecord: length (8 bytes) and its checksum before the data, the data's checksum after


def split_records(builder: Any, name: str) -> Records:
    """The records of one split, which are as many as its description says."""
    records = Records([Path(path) for path in builder.info.splits[name].filepaths], builder)
    count = builder.info.splits[name].num_examples
    if len(records) != count:
        raise failure(
            f"data: the files of split {name} in {builder.data_dir} hold {len(records)} records, "
            f"but the description says {count}"
        )
    return records


def record_facts(builder: Any, sizes: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What distinguishes a prepared set from others of its name: its version, and a hash of the `sizes` of each split's
    records."""
    total = hashlib.sha256()
    for split in sorted(sizes):
        total.update(split.encode() + b"\0" + sizes[split].tobytes())
    return {"set": builder.info.full_name, "records": total.hexdigest()}


class Records:
    """TFRecord files as one array of records: where each begins is found by one walk over their headers."""

    def __init__(self, files: list[Path], builder: Any):
        layout = builder.info.file_format.value if builder.info.file_format else "tfrecord"
        if layout != "tfrecord":
            raise ReskerasError(
                f"data: {builder.info.name} is prepared as {layout}; prepare it with --file_format=tfrecord"
            )
        self.files = [_mapped(file) for file in files]
        self.paths, none = files, np.empty(0, np.int64)
        places = [_places(data, file) for data, file in zip(self.files, files, strict=True)]
        self.starts = np.concatenate([none, *(starts for starts, _ in places)])
        self.sizes = np.concatenate([none, *(sizes for _, sizes in places)])
        self.owners = np.repeat(np.arange(len(files)), [len(starts) for starts, _ in places])

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def bytes(self) -> int:
        """Size of all records together."""
        return int(self.sizes.sum())

    def file_of(self, index: int) -> Path:
        """The file that contains a record."""
        return self.paths[self.owners[index]]

    def read_all(self, indices: np.ndarray) -> np.ndarray:
        """The bytes of the records at `indices`, as an array of objects."""
        return np.array([self.read(index) for index in indices], object)

    def read(self, index: int) -> builtins.bytes:
        """The bytes of one record."""
        start = self.starts[index]
        return self.files[self.owners[index]][start : start + self.sizes[index]].tobytes()


def _mapped(file: Path) -> np.ndarray:
    try:
        return np.memmap(file, np.uint8, mode="r") if file.stat().st_size else np.empty(0, np.uint8)
    except OSError as error:
        raise failure(f"data: {file} cannot be read: {error.strerror}") from error


def _places(data: np.ndarray, file: Path) -> tuple[np.ndarray, np.ndarray]:
    starts: list[int] = []
    sizes: list[int] = []
    place = 0
    while place < len(data):
        if place + HEADER > len(data):
            raise failure(f"data: {file} is cut off after {len(starts)} records")
        size = int(data[place : place + 8].view("<u8")[0])
        if place + HEADER + size + FOOTER > len(data):
            raise failure(f"data: {file} is cut off or broken after {len(starts)} records")
        starts.append(place + HEADER)
        sizes.append(size)
        place += HEADER + size + FOOTER
    return np.array(starts, np.int64), np.array(sizes, np.int64)
