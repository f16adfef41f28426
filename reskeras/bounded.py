"""Sizes that files of others may have: files read whole, and archives that unpack to far more than they are."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

from reskeras.errors import failure

LARGEST_UNPACKED = 8 << 30  # bytes that all entries of an archive come to
RATIO, SLACK = 100, 64 << 20  # an archive unpacks to at most so many times its size, and so many bytes more
MOST_ENTRIES = 100_000
PIECE = 1 << 20
# zipfile raises NotImplementedError and RuntimeError for what it cannot read
UNREADABLE = (zipfile.BadZipFile, OSError, ValueError, EOFError, RuntimeError)


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


def check_archive(path: Path, what: str, largest: int = LARGEST_UNPACKED) -> None:
    """Raise a ReskerasError (status 1) unless the zip archive at `path` unpacks to a sane size.

    That is at most `largest` bytes, and RATIO times the file's size. An archive states the size of its entries; that it
    does not lie is left to zipfile, which gives no more bytes than are stated. `what` begins the message.
    """
    size = path.stat().st_size
    allowed = min(largest, RATIO * size + SLACK)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > allowed or len(entries) > MOST_ENTRIES:
        raise failure(f"{what}: {path} of {size:,} bytes unpacks to {unpacked:,} bytes in {len(entries):,} entries, "
                      f"more than the {allowed:,} bytes and {MOST_ENTRIES:,} entries that are allowed")
