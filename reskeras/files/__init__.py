"""The one place that writes files: atomically, so that files and folders appear whole or not at all.

What is written to the local copy of a remote folder is put there as well before the writer goes on: what is there is at
every moment what a prefix of the writes has left.
"""

from __future__ import annotations

import csv
import errno
import io
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from reskeras.addresses import named
from reskeras.errors import ReskerasError, failure
from reskeras.files.copies import Transfers, brought, is_there, mirror_of, place_of, published, withdrawn
from reskeras.files.devices import is_device, send
from reskeras.files.folder_lock import LOCK_FILE, only_writer
from reskeras.files.refusals import LAUNCHED, STUCK, InUse, Unwritable, reason, refusals_told
from reskeras.files.workspaces import locked_workspace, make, sync
from reskeras.strict_json import json_list, to_json

__all__ = ["LAUNCHED", "LOCK_FILE", "STUCK", "InUse", "Transfers", "Unwritable"]
__all__ += ["is_there", "mirror_of", "only_writer", "place_of", "reason"]
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def local_path(path: str | Path, field: str, only: str = "", whole: bool = False) -> Path:
    """`path` as a Path of this machine, for reading.

    What is at an address such as gs://bucket/run is brought here first, `only` what is in that folder below it, and of
    a run the states of its training only if it is to be `whole`. What is written to the path is put there. What is not
    there is missing here. Raises ReskerasError naming `field`: status 2 for an address that cannot be one of a remote
    folder, 1 when it cannot be read.
    """
    return brought(path, field, only, whole)


@contextmanager
def atomic_file(path: str | Path, otherwise: str = "", durable: bool = False) -> Iterator[Path]:
    """A path to write to that becomes `path` when the block ends without an error; until then, `path` is as it was.

    Missing folders above are made. A `durable` file is on the disk, not just in its cache, before it takes the name.
    Raises `failure` that names `path` when the system refuses anything; the message ends with `otherwise`.
    """
    path = place_of(path, "path")
    with refusals_told(path, otherwise):
        if is_device(path):
            with locked_workspace(Path(tempfile.gettempdir())) as place:
                yield place / path.name
                send(place / path.name, path)
            return
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "")
        with locked_workspace(path.parent) as place:
            beside = place / path.name
            yield beside
            with suppress(OSError):  # a file that is replaced keeps its permissions
                beside.chmod(stat.S_IMODE(path.stat(follow_symlinks=False).st_mode))
            if durable:
                sync(beside)
            beside.replace(path)
            if durable:
                sync(path.parent)
        published(path)


def check_place(path: str | Path) -> None:
    """Raise before long work whose result `path` is to hold, where the system would refuse to write it; nothing is
    left there. Raises `failure` as `atomic_file` does."""
    path = place_of(path, "path")
    with refusals_told(path):
        if mirror := mirror_of(path):
            mirror.check_writable()
        elif not is_device(path):
            with locked_workspace(path.parent):
                pass


def check_suffix(path: Path, field: str, suffixes: Sequence[str]) -> None:
    """ReskerasError (status 2), of `field`, for a `path` that ends in none of the `suffixes`."""
    if path.suffix.lower() not in suffixes:
        *most, last = suffixes
        known = f"{', '.join(most)} or {last}" if most else last
        raise ReskerasError(f"{field}: {path}: should end in {known}")


def check_folder(path: Path, field: str) -> None:
    """ReskerasError (status 2), of `field`, for a `path` in a folder that does not exist."""
    if not path.absolute().parent.is_dir():
        raise ReskerasError(f"{field}: {path} cannot be written: folder not found: {path.parent}")


@contextmanager
def atomic_folder(path: str | Path, durable: bool = False) -> Iterator[Path]:
    """A new, empty folder that becomes `path` when the block ends without an error.

    Raises `failure` as `atomic_file` does, and when `path` has come to exist meanwhile.
    """
    path = place_of(path, "path")
    with refusals_told(path), locked_workspace(path.parent) as place:
        beside = place / path.name
        beside.mkdir()
        yield beside
        if durable:
            for each in [*beside.rglob("*"), beside]:
                sync(each)
        if os.path.lexists(path):  # a rename would replace an empty folder
            raise failure(f"{path} was created by another process in the meantime")
        beside.rename(path)
        if durable:
            sync(path.parent)
        published(path)


@contextmanager
def workspace(folder: Path) -> Iterator[Path]:
    """A hidden folder in `folder` for unfinished work, removed with its contents when the block ends.

    `folder` is made if it is missing, and then removed again if it stays empty. The workspace is locked while it is
    used; unlocked ones, which killed processes left behind, are removed first. Raises `failure` as `atomic_file` does.
    """
    with refusals_told(folder), locked_workspace(folder) as place:
        yield place


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for temporary files while the block runs; `failure` when the system refuses one."""
    try:
        parent = Path(tempfile.gettempdir())
    except OSError as error:
        raise failure(f"no folder for temporary files is writable; set TMPDIR: {reason(error)}") from error
    with refusals_told(parent, " (TMPDIR sets another folder for temporary files)"), locked_workspace(parent) as place:
        yield place


def write_text(path: str | Path, text: str, durable: bool = False) -> None:
    """Replace `path` by `text` in UTF-8; what cannot be encoded, such as bytes of a file name, is escaped. Paths in the
    local copy of a remote folder become addresses."""
    write_bytes(path, named(text).encode("utf-8", "backslashreplace"), durable)


def write_bytes(path: str | Path, content: bytes, durable: bool = False) -> None:
    """Replace `path` by `content`."""
    with atomic_file(path, durable=durable) as beside:
        beside.write_bytes(content)


def write_json(path: str | Path, data: Any, indent: int | None = 2, durable: bool = False) -> None:
    """Replace `path` by `data` as JSON; a number that is not finite is null."""
    write_text(path, to_json(data, indent) + "\n", durable)


def write_parts(path: str | Path, parts: Iterable[str]) -> None:
    """Replace `path` by a text as `write_text` does, of which one part at a time is held."""
    with atomic_file(path) as beside, open(beside, "wb") as file:
        for part in parts:
            file.write(named(part).encode("utf-8", "backslashreplace"))


def write_json_list(path: str | Path, entries: Iterable[Any], indent: int | None = None) -> None:
    """The same of `entries` as a JSON list."""
    write_parts(path, json_list(entries, indent))


def write_csv(path: str | Path, rows: Iterable[Iterable[Any]]) -> None:
    """The same of `rows`, the first of which are the titles; see `csv_text`."""
    write_parts(path, map(_csv_line, rows))


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """`rows` as CSV; a text that a spreadsheet would run as a formula gets an apostrophe before it."""
    return "".join(map(_csv_line, rows))


def _csv_line(row: Iterable[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([_inert(cell) for cell in row])
    # the writer quotes only those line ends that its own lineterminator contains
    return text.getvalue().removesuffix("\r\n") + "\n"


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
    path = place_of(path, "path")
    with refusals_told(path):
        make(path)


def move(source: Path, target: Path) -> Path:
    """Give `source`, a finished file or folder in a workspace, its name `target`; returns it."""
    with refusals_told(target):
        make(target.parent)
        moved = source.replace(target)
        published(moved)
        return moved


def append_line(path: Path, line: str) -> None:
    """Add a line to a log; an OSError is ignored, so that a log never ends what it reports on."""
    with suppress(OSError), open(path, "a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(line + "\n")


def remove(path: Path) -> None:
    """Remove a file or a folder as far as the system allows; never raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
    withdrawn(path)


def publish(path: Path) -> None:
    """Put what another library has written at `path` where the folder stands for a remote one; `failure` when the
    store refuses."""
    with refusals_told(path):
        published(path)


def _inert(cell: Any) -> Any:
    if not isinstance(cell, str) or not cell.startswith(FORMULA):
        return cell
    with suppress(ValueError):
        float(cell)
        return cell
    return "'" + cell
