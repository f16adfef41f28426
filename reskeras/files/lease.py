"""The lock of a remote folder: an object that names its writer, renewed while that lives.

Stores have no locks that end with a process. Two writers that take over the same abandoned lock in the same second may
both begin; the one that finds the other's name in it when it renews stops.
"""

from __future__ import annotations

import os
import platform
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from reskeras.errors import FAILED
from reskeras.files.refusals import InUse
from reskeras.files.store import Store
from reskeras.files.workspaces import kernel
from reskeras.stored import as_shape, parsed
from reskeras.strict_json import to_json

LEASE = "writing.lock"
RENEWED, ABANDONED = 30.0, 180.0  # seconds between renewals; seconds without one after which a lock is abandoned
LARGEST = 1 << 16


@dataclass(frozen=True)
class Holder:
    """Who writes a folder; `beat` is the time of the last renewal by its clock, in seconds."""

    token: str
    shown: str
    host: str
    kernel: str
    process: int
    beat: float

    @classmethod
    def this(cls) -> Holder:
        """This process, now."""
        shown = f"process {os.getpid()} on {platform.node()} since {datetime.now():%Y-%m-%d %H:%M}"
        return cls(uuid.uuid4().hex, shown, platform.node(), _kernel(), os.getpid(), time.time())

    def is_gone(self) -> bool:
        """Whether it is known to have ended: it was on this machine, and is not there."""
        if (self.host, self.kernel) != (platform.node(), _kernel()):
            return False
        if self.process == os.getpid():
            return True  # another process had this number, or this one has left its lock
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False
        return False


class Lease:
    """A remote folder's lock, held by this process."""

    def __init__(self, store: Store, own: Holder):
        self.store, self.own = store, own
        self.lost: str | None = None  # who took it over
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="reskeras-lease", daemon=True)

    @classmethod
    def taken(cls, store: Store, field: str) -> Lease:
        """The lock of the folder of `store`, from now on.

        Raises `InUse` that says which process holds it and when it was last heard of. A lock whose holder has ended on
        this machine, or has not renewed it for ABANDONED seconds, is taken over.
        """
        own = Holder.this()
        try:
            _write(store, own, create=True)
        except FileExistsError:
            _take_over(store, own, field)
        lease = cls(store, own)
        lease._beating.start()
        return lease

    def leave(self) -> None:
        """Give it back."""
        self._ended.set()
        self._beating.join()
        with suppress(OSError, ValueError):
            if not self.lost and (found := _holder(self.store)) and found.token == self.own.token:
                self.store.delete(LEASE)

    def check(self) -> None:
        """`InUse` if another process has taken it over, which this one must not write beside."""
        if self.lost:
            raise InUse(f"run: {self.store.address} is being written by {self.lost} now; this process stops", FAILED)

    def _beat(self) -> None:
        while not self._ended.wait(RENEWED):
            with suppress(OSError, ValueError):  # a store that cannot be reached for a while
                found = _holder(self.store)
                if found and found.token != self.own.token:
                    self.lost = found.shown
                    return
                self.own = replace(self.own, beat=time.time())
                _write(self.store, self.own)


def _take_over(store: Store, own: Holder, field: str) -> None:
    try:
        found = _holder(store)
    except ValueError:  # nobody's
        found = None
    age = max(time.time() - found.beat, 0.0) if found else ABANDONED
    if found and age < ABANDONED and not found.is_gone():
        raise InUse(
            f"{field}: {store.address} is being written by {found.shown}, last heard of {age:.0f} s ago; wait for it, "
            f"or stop it and try again, {ABANDONED - age:.0f} s from now if it was killed on another machine",
            FAILED,
        )
    _write(store, own)
    found = _holder(store)
    if found and found.token != own.token:
        raise InUse(f"{field}: {store.address} is being written by {found.shown}; wait for it, or stop it", FAILED)


def _holder(store: Store) -> Holder | None:
    data = store.read(LEASE, LARGEST)
    return None if data is None else as_shape(parsed(data.decode()), Holder)


def _write(store: Store, holder: Holder, create: bool = False) -> None:
    store.write(LEASE, to_json(asdict(holder)).encode(), create)


def _kernel() -> str:
    """The running kernel and the namespace of process numbers in it: containers of one machine number their own."""
    try:
        return f"{kernel()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # no Linux
        return kernel()
