"""The one place that writes: files and folders take their names when they are whole, or not at all."""

from __future__ import annotations

import csv
import errno
import io
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from reskeras.errors import FAILED, ReskerasError, failure
from reskeras.strict_json import to_json

try:
    import fcntl
except ImportError:  # Windows: leftovers of killed processes stay
    fcntl = None

# Path("gs://bucket") is gs:/bucket; one letter is a drive
SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
PREFIX = ".reskeras-"
LAUNCHED, STUCK = "RESKERAS_LAUNCHED", 75  # sysexits.h: try again later
LOCK_FILE = "writing.lock"
UNLOCKED = 1.0  # seconds that a new workspace may be without its lock
ABANDONED = 24 * 3600.0  # seconds after which another machine's workspace counts as left behind
NO_SPACE = "there is no space left; make room"
READ_ONLY = "the file system is read-only"
REASONS = {
    errno.ENOSPC: NO_SPACE, errno.EDQUOT: NO_SPACE, errno.EROFS: READ_ONLY,
    errno.EACCES: "permission denied", errno.EPERM: "permission denied", errno.ENAMETOOLONG: "the name is too long",
    errno.EISDIR: "it is a folder", errno.ENOTDIR: "a part of the path is not a folder",
    errno.EEXIST: "it exists already", errno.ENOTEMPTY: "it exists already", errno.ELOOP: "its links go in a circle",
}
# what native libraries say where they give no error number
WORDS = {"No space left": NO_SPACE, "Disk quota exceeded": NO_SPACE, "Read-only file system": READ_ONLY}
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class Unwritable(ReskerasError):
    """The system refuses to write; what was to be written may be whole another time, on a disk with space.

    A process that another one launched (which sets LAUNCHED) ends with STUCK then: started again it would end so too.
    """


class InUse(Unwritable):
    """Another process writes the folder."""


def local_path(path: str | Path, field: str) -> Path:
    """`path` as a Path; ReskerasError (status 2) naming `field` when it is an address such as gs://bucket/run.

    Taken for a path, such an address would be a folder `gs:` of the working directory.
    """
    scheme = SCHEME.match(str(path))
    if scheme and scheme[0].lower() == "file:/":
        raise ReskerasError(f"{field}: {path}: addresses are not supported; give the path alone, without file://")
    if scheme:
        raise ReskerasError(f"{field}: {path}: remote folders are not supported; use a folder of this machine, and "
                            "copy to or from it")
    return Path(path)


@contextmanager
def atomic_file(path: str | Path, otherwise: str = "", durable: bool = False) -> Iterator[Path]:
    """A path to write to that becomes `path` when the block ends without an error; until then, `path` is as it was.

    Missing folders above are made. A `durable` file is on the disk, not just in its cache, before it takes the name.
    Raises `failure` that names `path` when the system refuses anything; the message ends with `otherwise`.
    """
    path = local_path(path, "path")
    with _refusals_told(path, otherwise):
        if _is_device(path):
            with _workspace(Path(tempfile.gettempdir())) as place:
                yield place / path.name
                _send(place / path.name, path)
            return
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "")
        with _workspace(path.parent) as place:
            beside = place / path.name
            yield beside
            with suppress(OSError):  # a file that is replaced keeps its permissions
                beside.chmod(stat.S_IMODE(path.stat(follow_symlinks=False).st_mode))
            if durable:
                _sync(beside)
            beside.replace(path)
            if durable:
                _sync(path.parent)


def check_place(path: str | Path) -> None:
    """Refuse `path` before the work of which it shall hold the result, where the system would refuse it after; nothing
    is left there. Raises `failure` as `atomic_file` does."""
    path = local_path(path, "path")
    with _refusals_told(path):
        if not _is_device(path):
            with _workspace(path.parent):
                pass


@contextmanager
def atomic_folder(path: str | Path, durable: bool = False) -> Iterator[Path]:
    """A new, empty folder that becomes `path` when the block ends without an error.

    Raises `failure` as `atomic_file` does, and when `path` has come to exist meanwhile.
    """
    path = local_path(path, "path")
    with _refusals_told(path), _workspace(path.parent) as place:
        beside = place / path.name
        beside.mkdir()
        yield beside
        if durable:
            for each in [*beside.rglob("*"), beside]:
                _sync(each)
        if os.path.lexists(path):  # a rename would replace an empty folder
            raise failure(f"{path} was made by another process meanwhile")
        beside.rename(path)
        if durable:
            _sync(path.parent)


@contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """A hidden folder in `folder` for what is not finished; it goes with all that is left in it when the block ends.

    `folder` is made if need be, and unmade if nothing came to stand in it. The workspace is locked while it is used;
    unlocked ones, which killed processes left behind, are removed first. Raises `failure` as `atomic_file` does.
    """
    with _refusals_told(folder), _workspace(folder) as place:
        yield place


@contextmanager
def _workspace(folder: Path) -> Iterator[Path]:
    made = _make(folder)
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


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for temporary files while the block runs; `failure` when the system refuses one."""
    try:
        parent = Path(tempfile.gettempdir())
    except OSError as error:
        raise failure(f"no folder for temporary files can be written to; set TMPDIR: {reason(error)}") from error
    with _refusals_told(parent, " (TMPDIR sets another folder for temporary files)"), _workspace(parent) as place:
        yield place


def write_text(path: str | Path, text: str, durable: bool = False) -> None:
    """Replace `path` by `text`, UTF-8. What UTF-8 has no form for, such as bytes of a file name, is escaped."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"), durable)


def write_bytes(path: str | Path, content: bytes, durable: bool = False) -> None:
    """Replace `path` by `content`."""
    with atomic_file(path, durable=durable) as beside:
        beside.write_bytes(content)


def write_json(path: str | Path, data: Any, indent: int | None = 2, durable: bool = False) -> None:
    """Replace `path` by `data` as JSON; a number that is not finite is null."""
    write_text(path, to_json(data, indent) + "\n", durable)


def write_csv(path: str | Path, rows: Iterable[Iterable[Any]]) -> None:
    """Replace `path` by `rows`, the first of which are the titles; see `csv_text`."""
    write_text(path, csv_text(rows))


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """`rows` as CSV; a text that a spreadsheet would run as a formula gets an apostrophe before it."""
    lines = []
    for row in rows:  # the writer quotes the characters of its line's end alone, so that is not "\n"
        text = io.StringIO()
        csv.writer(text, lineterminator="\r\n").writerow([_inert(cell) for cell in row])
        lines.append(text.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines)


def copy_file(source: Path, target: Path, durable: bool = False) -> None:
    """Replace `target` by a copy of `source`."""
    with atomic_file(target, durable=durable) as beside:
        shutil.copyfile(source, beside)


def copy_folder(source: Path, target: Path) -> None:
    """Make the new folder `target`, a copy of `source`."""
    with atomic_folder(target) as beside:
        shutil.copytree(source, beside, dirs_exist_ok=True)


def make_folder(path: Path) -> None:
    """Make `path` and the folders above it where they are missing; `failure` when the system refuses."""
    path = local_path(path, "path")
    with _refusals_told(path):
        _make(path)


def move(source: Path, target: Path) -> Path:
    """Give `source`, a finished file or folder in a workspace, its name `target`; returns it."""
    with _refusals_told(target):
        _make(target.parent)
        return source.replace(target)


@contextmanager
def only_writer(folder: Path, field: str) -> Iterator[None]:
    """Hold the lock of `folder` while the block runs; the system takes it back however the process ends.

    Raises `InUse` (status 1) that says which process holds it, where and since when. A file system without locks
    gives none, and refuses nobody.
    """
    path, own = folder / LOCK_FILE, f"process {os.getpid()} on {platform.node()} since {datetime.now():%Y-%m-%d %H:%M}"
    with _refusals_told(folder):
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
        yield
    finally:
        if handle is not None:
            remove(path)
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


def append_line(path: Path, line: str) -> None:
    """Add a line to a log; a log that cannot be written is no reason to end what it tells of."""
    with suppress(OSError), open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(line + "\n")


def remove(path: Path) -> None:
    """Remove a file or a folder as far as the system allows; never raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()


def reason(error: OSError) -> str:
    """Why the system refused, in words."""
    if error.errno in REASONS:
        return REASONS[error.errno]
    return _said(error) or (error.strerror or str(error) or type(error).__name__).lower()


@contextmanager
def _refusals_told(path: Path, otherwise: str = "") -> Iterator[None]:
    if "\0" in str(path):
        raise failure(f"{str(path)!r} cannot be written: a path has no NUL")
    try:
        yield
    except ReskerasError:
        raise
    except OSError as error:
        raise Unwritable(f"{_shown(path)} cannot be written: {reason(error)}{otherwise}", FAILED) from error
    except Exception as error:  # TensorFlow, h5py and safetensors have errors of their own for a full disk
        if why := _said(error):
            raise Unwritable(f"{_shown(path)} cannot be written: {why}{otherwise}", FAILED) from error
        raise


def _shown(path: Path) -> Path:
    """`path` as it will be when the workspaces that it lies in are gone."""
    return Path(*(part for part in path.parts if not part.startswith(PREFIX)))


def _said(error: Exception) -> str:
    return next((why for words, why in WORDS.items() if words in str(error)), "")


def _is_device(path: Path) -> bool:
    """Whether `path` is written to where it stands: a pipe, a terminal, /dev/stdout whatever it leads to."""
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


def _send(source: Path, device: Path) -> None:
    if (number := _descriptor(device)) is not None:  # opened anew, a file behind it would be written from its start
        sys.stdout.flush()
        handle = os.dup(number)
    else:  # without O_NONBLOCK a pipe that nobody reads would hold us for ever
        handle = os.open(device, os.O_WRONLY | os.O_NONBLOCK)
        os.set_blocking(handle, True)
    with open(handle, "wb") as out, open(source, "rb") as file:
        shutil.copyfileobj(file, out)


def _make(folder: Path) -> list[Path]:
    """Make a folder; those that were missing, the innermost first."""
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
    """Remove those of the folders in which nothing stands, the innermost first."""
    for each in made:
        with suppress(OSError):
            each.rmdir()


def _claim(folder: Path) -> tuple[Path, int | None]:
    """A new workspace and the handle of its lock."""
    while True:
        # unique also among containers that share a disk, where process numbers repeat
        place = folder / f"{PREFIX}{_kernel()}-{uuid.uuid4().hex[:12]}"
        place.mkdir(mode=0o700)
        with suppress(FileNotFoundError):  # another process took it for a leftover before it was locked
            handle = _lock(place, exclusive=False)
            if place.is_dir():
                return place, handle


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that does not know it
            raise
    finally:
        os.close(handle)


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
            here = path.name.startswith(f"{PREFIX}{_kernel()}-")
            if time.time() - path.lstat().st_mtime < (UNLOCKED if here else ABANDONED):
                continue
            if (handle := _lock(path, exclusive=True)) is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(handle)


@cache
def _kernel() -> str:
    """Eight digits for the running kernel, within which locks are seen by all."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    return uuid.uuid5(uuid.NAMESPACE_DNS, platform.node()).hex[:8]


def _inert(cell: Any) -> Any:
    if not isinstance(cell, str) or not cell.startswith(FORMULA):
        return cell
    with suppress(ValueError):
        float(cell)
        return cell
    return "'" + cell
