"""Sizes that files of others may have: files read whole, and archives that unpack to far more than they are."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path
from typing import IO, Any

from reskeras.errors import failure, shown

LARGEST_UNPACKED = 8 << 30  # bytes that all entries of an archive come to
RATIO, SLACK = 100, 64 << 20  # an archive unpacks to at most so many times its size, and so many bytes more
MOST_ENTRIES = 1_000_000
HDF5_SUFFIXES = (".h5", ".hdf5")


def read_bounded(file: Path, largest: int) -> bytes:
    """The bytes of a regular file. Raises OSError, or ValueError where it is none or has more than `largest`."""
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("no file")
    if status.st_size > largest:
        raise ValueError(f"more than {largest:,} bytes")
    with open(file, "rb") as opened:
        data = opened.read(largest + 1)
    if len(data) > largest:  # it may have grown since
        raise ValueError(f"more than {largest:,} bytes")
    return data


def allowed_size(size: int) -> int:
    """Bytes that a file of `size` bytes may unpack to."""
    return min(LARGEST_UNPACKED, RATIO * size + SLACK)


def check_archive(path: Path, what: str) -> None:
    """Raise a ReskerasError (status 1) unless the zip archive at `path` unpacks to a sane size, and so do HDF5 files in
    it; `what` begins the message. zipfile's own errors are raised for what is no archive.

    An archive states the sizes of its entries. That it does not lie is left to zipfile, which gives no more bytes than
    are stated.
    """
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        unpacked = sum(entry.file_size for entry in entries)
        if len(entries) > MOST_ENTRIES:
            raise failure(f"{what}: {path} has {len(entries):,} entries, more than {MOST_ENTRIES:,}")
        _check(unpacked, size, path, what)
        for entry in entries:
            if entry.filename.endswith(HDF5_SUFFIXES):
                with archive.open(entry) as file:
                    check_hdf5(path, what, file)


def check_hdf5(path: Path, what: str, file: IO[bytes] | None = None) -> None:
    """The same of an HDF5 file: `file`, of those in the archive at `path`, or `path` itself.

    It states the shapes of its arrays, which may be kept compressed, or not at all; and it may name other files to read
    them from, which is refused.
    """
    import h5py

    unpacked = count = 0
    with h5py.File(file or path, "r") as opened:
        waiting: list[Any] = [opened]
        seen = set()
        while waiting:
            group = waiting.pop()
            for name in group:
                if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                    raise failure(f"{what}: {path} has {shown(name)}, which is kept in another file")
                found = group[name]
                if isinstance(found, h5py.Group) and found.id not in seen:
                    seen.add(found.id)  # links may go in a circle
                    waiting.append(found)
                elif isinstance(found, h5py.Dataset):
                    if found.external or found.is_virtual:
                        raise failure(f"{what}: {path} has {shown(name)}, which is kept in another file")
                    unpacked += found.nbytes
                count += 1
                if count > MOST_ENTRIES:
                    raise failure(f"{what}: {path} has more than {MOST_ENTRIES:,} entries")
    _check(unpacked, path.stat().st_size, path, what)


def check_arrays(arrays: int, path: Path, what: str) -> None:
    """The same of a file whose arrays, once read, come to so many bytes."""
    _check(arrays, path.stat().st_size, path, what)


def _check(unpacked: int, size: int, path: Path, what: str) -> None:
    if unpacked > (allowed := allowed_size(size)):
        raise failure(f"{what}: {path} has {size:,} bytes and unpacks to {unpacked:,}, more than the {allowed:,} that "
                      "are allowed")
