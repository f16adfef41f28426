"""Hidden, locked folders for unfinished work, which leave nothing behind however a process ends."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from reskeras.files.refusals import PREFIX

try:
    import fcntl
except ImportError:  # Windows: leftovers of killed processes stay
    fcntl = None  # type: ignore[assignment]  # None stands for a module that is not there

UNLOCKED = 1.0  # seconds that a new workspace may be without its lock
ABANDONED = 24 * 3600.0  # seconds after which another machine's workspace counts as left behind


@contextmanager
def locked_workspace(folder: Path) -> Iterator[Path]:
    """As `files.workspace`; what the system refuses is an OSError."""
    made = make(folder)
    place = handle = None
    try:
        _remove_abandoned(folder)
        place, handle = _claim(folder)
        yield place
    finally:
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)
        if handle is not None:
            os.close(handle)
        _unmake(made)


def make(folder: Path) -> list[Path]:
    """Make a folder; returns those that were missing, the innermost first."""
    missing = []
    for each in (folder, *folder.parents):
        if os.path.lexists(each):
            break
        missing.append(each)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _unmake(missing)
        if isinstance(error, FileExistsError):
            raise NotADirectoryError(errno.ENOTDIR, "") from error
        raise
    return missing


def _unmake(made: list[Path]) -> None:
    """Remove those of the folders that are empty, the innermost first."""
    for each in made:
        with suppress(OSError):
            each.rmdir()


def _claim(folder: Path) -> tuple[Path, int | None]:
    """A new workspace and the handle of its lock."""
    while True:
        # unique also among containers that share a disk, where process numbers repeat
        place = folder / f"{PREFIX}{kernel()}-{uuid.uuid4().hex[:12]}"
        place.mkdir(mode=0o700)
        with suppress(FileNotFoundError):  # another process took it for a leftover before it was locked
            handle = _lock(place, exclusive=False)
            if place.is_dir():
                return place, handle


def _lock(folder: Path, exclusive: bool) -> int | None:
    """An open handle that holds a lock; None where somebody else does, or the file system has no locks."""
    if fcntl is None:
        return None
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def _remove_abandoned(folder: Path) -> None:
    for path in folder.glob(f"{PREFIX}*-*"):
        with suppress(OSError):
            # on some shared disks a lock is not seen by other machines
            here = path.name.startswith(f"{PREFIX}{kernel()}-")
            if time.time() - path.lstat().st_mtime < (UNLOCKED if here else ABANDONED):
                continue
            if (handle := _lock(path, exclusive=True)) is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(handle)


@cache
def kernel() -> str:
    """Eight digits for the running kernel, within which locks are seen by all."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    return uuid.uuid5(uuid.NAMESPACE_DNS, platform.node()).hex[:8]


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # the file system does not support it
            raise
    finally:
        os.close(handle)
