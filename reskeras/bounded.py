"""Size limits for files from elsewhere: files that are read whole, and archives that unpack to far more."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path
from typing import IO, Any

from reskeras.errors import failure, shown

LARGEST_UNPACKED = 8 << 30  # bytes that all entries of an archive come to
RATIO, SLACK = 100, 64 << 20  # an archive may unpack to RATIO times its size plus SLACK bytes
MOST_ENTRIES = 1_000_000
HDF5_SUFFIXES = (".h5", ".hdf5")
LOCAL_HEADER, LENGTHS_AT = 30, 26  # bytes before an entry's name; where the lengths of name and extra field stand


def read_bounded(file: Path, largest: int) -> bytes:
    """The bytes of a regular file. Raises OSError, or ValueError if it is not one or has more than `largest`."""
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    if status.st_size > largest:
        raise ValueError(f"larger than {largest:,} bytes")
    with open(file, "rb") as opened:
        data = opened.read(largest + 1)
    if len(data) > largest:  # it may have grown since
        raise ValueError(f"larger than {largest:,} bytes")
    return data


def allowed_size(size: int) -> int:
    """Bytes that a file of `size` bytes may unpack to."""
    return min(LARGEST_UNPACKED, RATIO * size + SLACK)


def check_archive(path: Path, what: str) -> None:
    """Raise a ReskerasError (status 1) unless the zip archive at `path` unpacks to a sane size, and so do HDF5 files in
    it; `what` begins the message. zipfile's own errors are raised for a file that is not an archive.

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
                with archive.open(entry) as file, open(path, "rb") as whole:
                    check_hdf5(path, what, _seekable(file, entry, whole))


def _seekable(file: IO[bytes], entry: zipfile.ZipInfo, whole: IO[bytes]) -> IO[bytes]:
    """`file`, an opened entry of the archive `whole`; where it is not compressed, its bytes in that file itself.

    For each step back zipfile reads an entry from its beginning again, and reading HDF5 takes thousands of them.
    """
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        return file
    whole.seek(entry.header_offset + LENGTHS_AT)
    names, extra = struct.unpack("<HH", whole.read(LOCAL_HEADER - LENGTHS_AT))
    return io.BufferedReader(_Part(whole, entry.header_offset + LOCAL_HEADER + names + extra, entry.file_size))


class _Part(io.RawIOBase):
    """`size` bytes of a file from `start` on, as a file."""

    def __init__(self, whole: IO[bytes], start: int, size: int):
        self._whole, self._start, self._size, self._place = whole, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = max({io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence] + offset, 0)
        return self._place

    def readinto(self, buffer: Any) -> int:
        self._whole.seek(self._start + self._place)
        data = self._whole.read(min(len(buffer), max(self._size - self._place, 0)))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


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
                    raise failure(f"{what}: {path} stores {shown(name)} in another file, which is not supported")
                found = group[name]
                if isinstance(found, h5py.Group) and found.id not in seen:
                    seen.add(found.id)  # links may go in a circle
                    waiting.append(found)
                elif isinstance(found, h5py.Dataset):
                    if found.external or found.is_virtual:
                        raise failure(f"{what}: {path} stores {shown(name)} in another file, which is not supported")
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
        raise failure(
            f"{what}: {path} has {size:,} bytes and unpacks to {unpacked:,}, more than the {allowed:,} allowed"
        )
