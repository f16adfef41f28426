"""The lock of a folder that only one process may write at a time."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from reskeras.errors import FAILED
from reskeras.files.copies import written_alone
from reskeras.files.refusals import InUse, refusals_told

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]  # None stands for a module that is not there

LOCK_FILE = "writing.lock"


@contextmanager
def only_writer(folder: Path, field: str) -> Iterator[None]:
    """Hold the lock of `folder` while the block runs; the system releases it however the process ends.

    Raises `InUse` (status 1) that says which process holds it, where and since when. Where the file
    system has no locks, nothing is locked. A folder that stands for a remote one is held there too.
    """
    path, own = folder / LOCK_FILE, f"process {os.getpid()} on {platform.node()} since {datetime.now():%Y-%m-%d %H:%M}"
    with refusals_told(folder):
        try:
            handle = _locked_file(path)
        except BlockingIOError as error:
            holder = _first_bytes(path) or "another process"
            raise InUse(f"{field}: {folder} is being written by {holder}; wait for it, or stop it", FAILED) from error
    try:
        if handle is not None:
            with suppress(OSError):
                os.ftruncate(handle, 0)
                os.write(handle, own.encode())
        with written_alone(folder, field):
            yield
    finally:
        if handle is not None:
            with suppress(OSError):
                path.unlink()
            os.close(handle)


def _locked_file(path: Path) -> int | None:
    """An open handle of `path`, locked; None where there are no locks. BlockingIOError when another process has it."""
    while fcntl is not None:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(path) and os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
            os.close(handle)  # its holder has removed it meanwhile
        except BlockingIOError:
            os.close(handle)
            raise
        except OSError:
            os.close(handle)
            return None
    return None


def _first_bytes(path: Path) -> str:
    with suppress(OSError), open(path, "rb") as file:
        return "".join(each for each in file.read(200).decode(errors="replace") if each.isprintable())
    return ""
