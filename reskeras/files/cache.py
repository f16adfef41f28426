"""The user's cache folder, and room in it for copies of remote folders."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from reskeras.errors import ReskerasError, failure

try:
    import fcntl
except ImportError:  # Windows: copies are not locked
    fcntl = None  # type: ignore[assignment]  # None stands for a module that is not there

LIMIT = "RESKERAS_CACHE_GIB"
USUAL_LIMIT = 50.0  # GiB that the copies of remote folders may fill
INDEX, IN_USE = "index.json", "in-use.lock"


def cache_folder(kind: str) -> Path | None:
    """The folder for one kind of what is remembered: `reskeras/KIND` of XDG_CACHE_HOME, else of ~/.cache.

    None where RESKERAS_CACHE=off asks for nothing to be remembered.
    """
    if os.environ.get("RESKERAS_CACHE", "").lower() == "off":
        return None
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "reskeras" / kind


def copies_folder() -> Path:
    """The folder of all local copies of remote folders; without a cache a temporary one, which goes with the
    process."""
    return cache_folder("remote") or _temporary()


@cache
def _temporary() -> Path:
    import atexit
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="reskeras-remote-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def limit() -> int:
    """Bytes that the copies of remote folders may fill; ReskerasError for a variable that is not a number."""
    text = os.environ.get(LIMIT, "") or str(USUAL_LIMIT)
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 < found < 1e9:
        raise ReskerasError(f"{LIMIT}: {text!r} is not a number of GiB, such as 200")
    return int(found * 2**30)


def make_room(home: Path, needed: int, address: str) -> None:
    """Remove the copies that were used longest ago until `needed` more bytes fit into the limit beside them; those in
    use, and `home`, stay.

    Raises `failure` naming `address` when they do not fit, or the disk has less space.
    """
    most, sizes = limit(), {each: _size(each) for each in _homes(home.parent)}
    for each in sorted(sizes.keys() - {home}, key=lambda place: _used(place)):
        if sum(sizes.values()) + needed <= most:
            break
        if _removed(each):
            sizes[each] = 0
    held = sum(sizes.values())
    if held + needed > most:
        raise failure(
            f"{address} needs {needed / 2**30:.1f} GiB on this machine, and {max(most - held, 0) / 2**30:.1f} of the "
            f"{most / 2**30:.1f} GiB for copies of remote folders are left; set {LIMIT} to allow more"
        )
    if (free := shutil.disk_usage(home).free) < needed:
        raise failure(
            f"{address} needs {needed / 2**30:.1f} GiB on this machine, and {home.parent} has {free / 2**30:.1f} GiB "
            "left; make room, or set XDG_CACHE_HOME to another disk"
        )


@contextmanager
def locked(path: Path, wait: bool = True, shared: bool = False) -> Iterator[bool]:
    """Hold the lock of a file, made if missing, while the block runs; False where another process holds it and
    `wait` is off."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        yield held(handle, wait, shared)
    finally:
        os.close(handle)


def held(handle: int, wait: bool, shared: bool) -> bool:
    """Whether the lock of an open file was taken; where there are no locks, as if it were."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # the file system has no locks
        return True
    return True


def _homes(folder: Path) -> list[Path]:
    with suppress(OSError):
        return [each for each in folder.iterdir() if (each / INDEX).is_file()]
    return []


def _size(home: Path) -> int:
    with suppress(OSError, ValueError, KeyError, TypeError):
        return int(json.loads((home / INDEX).read_bytes())["bytes"])
    return 0


def _used(home: Path) -> float:
    with suppress(OSError):
        return (home / IN_USE).stat().st_mtime
    return 0.0


def _removed(home: Path) -> bool:
    with suppress(OSError), locked(home / IN_USE, wait=False) as free:
        if free:
            shutil.rmtree(home, ignore_errors=True)
            return True
    return False
