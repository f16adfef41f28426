"""A remote folder and its copy on this machine: brought here when it is opened, put there write by write.

A manifest, written after the objects that it names, takes the place of the rename that stores lack. A folder without
one was put there by another program, and is taken as it is listed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from reskeras.addresses import stands_for
from reskeras.errors import FAILED, ReskerasError, failure
from reskeras.files.cache import IN_USE, copies_folder, held, locked
from reskeras.files.copies import Transfers
from reskeras.files.fetch import Index, Wanted, fetch, names_of_files
from reskeras.files.lease import LEASE, Lease
from reskeras.files.manifest import LARGEST, MANIFEST, Entry, Manifest, entry_of
from reskeras.files.refusals import LAUNCHED, PREFIX, Unwritable, reason, refusals_told
from reskeras.files.store import Store

TRANSFERRING, WRITING = "transferring.lock", "writing.lock"
LISTED = 60.0  # seconds for which the listing of a folder without a manifest counts as new
UNPUBLISHED = 600.0  # seconds after which a file here that is not there was left behind by a killed process
ROUNDS = 3  # tries at objects that another process replaces while they are read
LONGEST_NAME = 150
FOR_RESUMING = ("checkpoints/*.npz", "logs/*")  # of a run; as large as all the rest


@dataclass(frozen=True)
class Part:
    """A part of a folder: what is at or below `only`; of a run, without what only a training that is resumed reads
    unless it is `whole`."""

    only: str = ""
    whole: bool = False

    def within(self, name: str) -> bool:
        """Whether an object is at or below `only`."""
        return not self.only or name == self.only or name.startswith(f"{self.only}/")

    def has(self, name: str) -> bool:
        """Whether an object of a run belongs to it."""
        return self.within(name) and (self.whole or name == self.only or not _for_resuming(name))

    def covers(self, other: Part) -> bool:
        """Whether whatever belongs to `other` belongs to this too."""
        if self.whole or self == other:
            return self.within(other.only)
        return self.within(other.only) and not other.whole and not _for_resuming(other.only)


def _for_resuming(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in FOR_RESUMING)


class Mirror:
    """What is at `address`, and `place`, the folder or file that stands for it here."""

    def __init__(self, address: str):
        self.address = address
        self.home = copies_folder() / hashlib.sha256(address.encode()).hexdigest()[:32]
        self.place = self.home / address.rpartition("/")[2][-LONGEST_NAME:]
        self._lock = threading.RLock()
        self._brought: dict[Part, float] = {}
        self._listed = False  # the folder has no manifest
        self._lease: Lease | None = None
        stands_for(self.place, address)

    @cached_property
    def _store(self) -> Store:
        return Store(self.address)

    @cached_property
    def _index(self) -> Index:
        with refusals_told(self.home):
            self.home.mkdir(parents=True, exist_ok=True)
            self._in_use = os.open(self.home / IN_USE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            held(self._in_use, wait=False, shared=True)  # until this process ends: its room is not made for others
            os.utime(self.home / IN_USE)
        return Index(self.home, self.address)

    def bring(self, field: str, only: str, whole: bool, again: bool) -> None:
        """Make the copy of a part equal to what is there; with `again` also what was brought before, but for the
        part of a listing of the last minute. While a process of this machine writes the folder, the copy is newer."""
        part = Part(only, whole)
        times = [when for each, when in self._brought.items() if each.covers(part)]
        fresh = times and (not again or (self._listed and time.monotonic() - max(times) < LISTED))
        if self._lease or (fresh and self.place.exists()):  # what was not there may have been made since
            return
        with self._lock, self._readable(field), self._transferring(), locked(self.home / WRITING, wait=False) as free:
            if free:
                self._bring(part, UNPUBLISHED)
        self._brought[part] = time.monotonic()

    def is_there(self, field: str) -> bool:
        """Whether anything is at the address; if not, what is left of its copy goes too."""
        with self._lock, self._readable(field), self._transferring():
            manifest = self._manifest()
            there = bool(manifest.files if manifest else self._store.listing())
            if not there:
                with locked(self.home / WRITING, wait=False) as free:
                    if free:
                        self._tidy({}, Part(), 0.0)
                        self._index.save()
        return there or self.place.exists()

    def publish(self, path: Path) -> None:
        """Put what is new in a finished file or folder of the copy, then say so in the manifest."""
        files = {name: file for name, file in self._files(path) if not self._index.has(name, file)}
        if not files:
            return
        with self._lock, self._transferring():
            self._may_write()
            entries = {name: entry_of(file) for name, file in files.items()}
            if "" in files:  # an object appears whole or not at all
                self._store.put(files[""], "")
            else:
                self._put(files, entries)
            for name, file in files.items():
                self._index.add(name, file, entries[name].sha256)
            self._index.save()

    def _put(self, files: Mapping[str, Path], entries: Mapping[str, Entry]) -> None:
        manifest = self._manifest()
        if manifest is None or not manifest.files.keys().isdisjoint(entries):
            before = manifest or Manifest({name: Entry(each.size) for name, each in self._store.listing().items()})
            self._write(before.announcing(entries))
        for name, file in files.items():
            self._store.put(file, name)
        self._write((self._manifest() or Manifest()).holding(entries))

    def withdraw(self, path: Path) -> None:
        """Delete at the address what was removed here, as far as the store allows."""
        inside = path.relative_to(self.place).as_posix()
        with suppress(OSError, ReskerasError), self._lock, self._transferring():
            names = {name for name in self._index.known if name == inside or name.startswith(f"{inside}/")}
            if not names:
                return
            self._may_write()
            if manifest := self._manifest():
                self._write(manifest.without(names))
            for name in names:
                self._store.delete(name)
            self._index.drop(names)
            self._index.save()

    def check_writable(self) -> None:
        """OSError where the store refuses to write; nothing is left there."""
        self._index  # noqa: B018 - makes the folder that the copy will be in
        probe = f"{PREFIX}{os.urandom(6).hex()}"
        store = self._store
        if Path(self.address).suffix and self.address.count("/") > 3:  # a file: beside it
            store = Store(self.address.rpartition("/")[0])
        store.write(probe, b"")
        with suppress(OSError):
            store.delete(probe)

    @contextmanager
    def written_alone(self, field: str) -> Iterator[None]:
        """Hold the folder against writers of this and other machines while the block runs, in which the copy is what is
        there."""
        with ExitStack() as stack:
            with refusals_told(self.place), self._transferring():
                stack.enter_context(locked(self.home / WRITING, wait=False))
                lease = Lease.taken(self._store, field)
                stack.callback(lease.leave)
                whole = Part(whole=any(part.whole for part in self._brought))
                self._bring(whole, 0.0)  # another machine may have written it since, and this one been killed
                self._lease = lease
            try:
                yield
            finally:
                self._lease = None

    def _may_write(self) -> None:
        if self._lease:
            self._lease.check()

    @contextmanager
    def _transferring(self) -> Iterator[None]:
        """Hold the copy against transfers of other processes."""
        index = self._index
        with ExitStack() as stack:
            with refusals_told(self.home):
                if not stack.enter_context(locked(self.home / TRANSFERRING, wait=False)):
                    Transfers.tell(f"waiting for another process that transfers {self.address}")
                    stack.enter_context(locked(self.home / TRANSFERRING))
                index.load()
            yield

    @contextmanager
    def _readable(self, field: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            message = f"{field}: {self.address} cannot be read: {reason(error)}"
            if error.errno == errno.EHOSTUNREACH:  # a restart would fail as well
                alone = "; workers of reskeras launch reach no network" if LAUNCHED in os.environ else ""
                raise Unwritable(message + alone, FAILED) from error
            raise failure(message) from error

    def _manifest(self) -> Manifest | None:
        data = self._store.read(MANIFEST, LARGEST)
        self._listed = data is None
        return None if data is None else Manifest.read(data, self.address)

    def _write(self, manifest: Manifest) -> None:
        self._store.write(MANIFEST, manifest.encoded())

    def _bring(self, part: Part, grace: float) -> None:
        damaged: list[str] = []
        for round_ in range(ROUNDS):
            manifest = self._manifest()
            wanted = self._wanted(manifest, part)
            self._tidy(wanted, part, grace)
            missing = {
                name: each
                for name, each in wanted.items()
                if (self._listed or part.has(name)) and not self._has(name, each)
            }
            damaged = fetch(self._store, self._index, self.place, missing) if missing else []
            if not damaged:
                return
            time.sleep(round_)
        for name in damaged:
            with suppress(OSError):
                (self.place / name).unlink()
            Transfers.tell(
                f"{self.address}/{name} does not match {MANIFEST}, perhaps changed by another program; it is left out"
            )
        self._index.drop(damaged)

    def _has(self, name: str, wanted: Wanted) -> bool:
        return self._index.has(name, self.place / name if name else self.place, wanted)

    def _wanted(self, manifest: Manifest | None, part: Part) -> dict[str, Wanted]:
        if manifest:
            found = {
                name: Wanted(entry.size, tuple(each.sha256 for each in manifest.allowed(name)), hashed=True)
                for name, entry in manifest.files.items()
            }
        else:
            found = {name: Wanted(each.size, (each.tag,)) for name, each in self._store.listing(part.only).items()}
        return names_of_files({name: each for name, each in found.items() if part.within(name)}, self.address)

    def _tidy(self, wanted: Mapping[str, Wanted], part: Part, grace: float) -> None:
        """Remove from the copy what is not there, but for files of the last `grace` seconds, which may be about to be
        published."""
        gone = {name for name in self._index.known if name not in wanted and part.within(name)}
        here = dict(self._files(self.place)) if gone or not wanted or not self._listed else {}
        for name, file in here.items():
            with suppress(OSError):
                if name in gone or (
                    name not in wanted and part.within(name) and time.time() - file.stat().st_mtime >= grace
                ):
                    file.unlink()
        self._index.drop(gone)
        if self.place.is_dir() and here:
            for folder, _, _ in os.walk(self.place, topdown=False):
                with suppress(OSError):
                    os.rmdir(folder)

    def _files(self, path: Path) -> Iterable[tuple[str, Path]]:
        """Finished files at `path` in the copy, with their names; that of the copy itself is empty."""
        inside = path.relative_to(self.place)
        if any(part.startswith(PREFIX) for part in inside.parts) or not path.exists():
            return
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            name = "" if file == self.place else file.relative_to(self.place).as_posix()
            if (
                file.is_file()
                and name not in (LEASE, MANIFEST)
                and not name.startswith(PREFIX)
                and f"/{PREFIX}" not in name
            ):
                yield name, file
