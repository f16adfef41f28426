"""Paths that are written to in place, not replaced: pipes, terminals, /dev/stdout whatever it leads to."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def is_device(path: Path) -> bool:
    """Whether `path` is written to in place: a pipe, a terminal, /dev/stdout whatever it leads to."""
    if _descriptor(path) is not None or _real(path.parent) == Path("/dev"):
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


def _descriptor(path: Path) -> int | None:
    """The open file of this process that /dev/stdout, /dev/fd/3 and the like stand for."""
    folder = _real(path.parent)
    number = {"stdout": "1", "stderr": "2"}.get(path.name, "") if folder == Path("/dev") else ""
    if folder.name == "fd" and folder.is_relative_to("/proc"):
        number = path.name
    return int(number) if number.isdecimal() else None


def _real(path: Path) -> Path:
    """`path` without links; unlike Path.resolve, a circle of them is no RuntimeError."""
    return Path(os.path.realpath(path))


def send(source: Path, device: Path) -> None:
    """Write what is in the file `source` to a device."""
    if (number := _descriptor(device)) is not None:  # opened anew, a file behind it would be written from its start
        sys.stdout.flush()
        handle = os.dup(number)
    else:  # without O_NONBLOCK a pipe that nobody reads would hold us for ever
        handle = os.open(device, os.O_WRONLY | os.O_NONBLOCK)
        os.set_blocking(handle, True)
    with open(handle, "wb") as out, open(source, "rb") as file:
        shutil.copyfileobj(file, out)
