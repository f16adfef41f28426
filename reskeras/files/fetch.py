"""Objects brought to this machine: downloaded aside, checked, then moved into place; an index knows what is there."""

from __future__ import annotations

import errno
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reskeras.errors import failure
from reskeras.files.cache import INDEX, make_room
from reskeras.files.copies import Transfers
from reskeras.files.lease import LEASE
from reskeras.files.manifest import MANIFEST, entry_of
from reskeras.files.refusals import PREFIX, refusals_told
from reskeras.files.store import Store
from reskeras.files.workspaces import locked_workspace
from reskeras.printable import counted

AT_ONCE, BYTES_AT_ONCE = 256, 32 << 20  # objects, and bytes of them, of one batch
SAVED = 10.0  # seconds after which the index of a long transfer is saved
TOLD = 64 << 20  # bytes from which a transfer is told

Known = tuple[int, int, str]  # size, modification time in ns, hash or tag


@dataclass(frozen=True)
class Wanted:
    """An object's size and tag, or with `hashed` its SHA-256; where it is being replaced, either of two. An empty tag
    stands for any."""

    size: int
    tags: tuple[str, ...]
    hashed: bool = False

    def is_met_by(self, size: int, tag: str) -> bool:
        """Whether a file of so many bytes with that tag is what is wanted."""
        if "" in self.tags:
            return size == self.size
        return tag in self.tags and (self.hashed or size == self.size)


class Index:
    """What the copy of a remote folder has, by name, in the file INDEX of its `home`."""

    def __init__(self, home: Path, address: str):
        self.home, self.address = home, address
        self.known: dict[str, Known] = {}
        self._loaded: tuple[int, int] | None = None

    def load(self) -> None:
        """Read what other processes have written; an index that is broken, or of another address, knows nothing."""
        status = None
        with suppress(OSError):
            status = (self.home / INDEX).stat()
        stamp = (status.st_ino, status.st_mtime_ns) if status else None
        if stamp is not None and stamp == self._loaded:
            return
        self._loaded, self.known = stamp, {}
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            data = json.loads((self.home / INDEX).read_bytes())
            if data["address"] == self.address:
                self.known = {name: (int(size), int(ns), str(tag)) for name, (size, ns, tag) in data["files"].items()}

    def save(self) -> None:
        """Write it."""
        total = sum(size for size, _, _ in self.known.values())
        text = json.dumps({"address": self.address, "bytes": total, "files": self.known})
        with refusals_told(self.home), locked_workspace(self.home) as place:
            (place / INDEX).write_text(text, encoding="ascii")
            (place / INDEX).replace(self.home / INDEX)
            status = (self.home / INDEX).stat()
            self._loaded = (status.st_ino, status.st_mtime_ns)

    def has(self, name: str, file: Path, wanted: Wanted | None = None) -> bool:
        """Whether a file is as it was when it was remembered; and, then, what is `wanted`."""
        known = self.known.get(name)
        with suppress(OSError):
            status = file.stat()
            if known and known[:2] == (status.st_size, status.st_mtime_ns):
                return wanted is None or wanted.is_met_by(known[0], known[2])
        return False

    def add(self, name: str, file: Path, tag: str) -> None:
        """Remember a file."""
        status = file.stat()
        self.known[name] = (status.st_size, status.st_mtime_ns, tag)

    def drop(self, names: Iterable[str]) -> None:
        """Forget files."""
        for name in names:
            self.known.pop(name, None)


def fetch(store: Store, index: Index, place: Path, missing: Mapping[str, Wanted]) -> list[str]:
    """Bring the objects `missing` to `place`, the folder or file that stands for the store's address, and remember
    them; returns the names of those that were not what is wanted, or not there.

    OSError where the store refuses, `failure` where this machine has no room.
    """
    damaged: list[str] = []
    done, total = 0, sum(wanted.size for wanted in missing.values())
    make_room(index.home, total, store.address)
    if total >= TOLD:
        Transfers.tell(f"downloading {counted(len(missing), 'file')} ({total / 2**20:,.0f} MiB) from {store.address}")
    saved = time.monotonic()
    with locked_workspace(index.home) as aside, Transfers.progress(f"reading {store.address}") as show:
        for batch in _batches(missing):
            files = _downloaded(store, batch, aside)
            for name, file in files.items():
                wanted = missing[name]
                size, tag = file.stat().st_size, wanted.tags[0]
                if wanted.hashed:
                    entry = entry_of(file)
                    tag = entry.sha256
                if not wanted.is_met_by(size, tag):
                    damaged.append(name)
                    continue
                _moved(file, place / name if name else place, index.home)
                index.add(name, place / name if name else place, tag)
                done += size
            damaged += [name for name in batch if name not in files]
            show(done, total)
            if time.monotonic() - saved > SAVED:
                index.save()
                saved = time.monotonic()
    index.save()
    return damaged


def names_of_files(wanted: dict[str, Wanted], address: str) -> dict[str, Wanted]:
    """`wanted` without what some programs put for folders; `failure` for names that no files can have."""
    folders = {name[:place] for name in wanted for place, letter in enumerate(name) if letter == "/"}
    found = {}
    for name, each in wanted.items():
        parts = name.split("/")
        if name in (MANIFEST, LEASE) or parts[-1].startswith(PREFIX):
            continue
        if name and ("\0" in name or "\\" in name or not all(parts) or {".", ".."} & {*parts}):
            raise failure(f"{address} has an object called {name!r}, which cannot be the name of a file")
        if name in folders:
            if each.size:
                raise failure(
                    f"{address} has an object {name!r} and others below it, which cannot both be a file and a folder"
                )
            continue
        found[name] = each
    return found


def _batches(missing: Mapping[str, Wanted]) -> Iterator[list[str]]:
    batch: list[str] = []
    total = 0
    for name, wanted in missing.items():
        if batch and (len(batch) == AT_ONCE or total + wanted.size > BYTES_AT_ONCE):
            yield batch
            batch, total = [], 0
        batch.append(name)
        total += wanted.size
    if batch:
        yield batch


def _downloaded(store: Store, names: list[str], aside: Path) -> dict[str, Path]:
    """Files with the content of the objects `names`, without those that are not there any more."""
    files = {name: aside / str(number) for number, name in enumerate(names)}
    try:
        store.get(list(files), list(files.values()))
    except FileNotFoundError:  # one was deleted since it was listed
        for name, file in files.items():
            file.unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                store.get([name], [file])
    except OSError as error:
        if error.errno == errno.ENOSPC:  # here: nothing is written there
            with refusals_told(aside.parent):
                raise
        raise
    return {name: file for name, file in files.items() if file.is_file()}


def _moved(file: Path, place: Path, home: Path) -> None:
    """Move a file into place; what was a folder before may be a file now, and a file a folder."""
    for folder in place.parents:
        if folder == home:
            break
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
    if place.is_dir():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    file.replace(place)
