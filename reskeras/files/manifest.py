"""The manifest of a remote run: the marker, written last, that says which of its objects are whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from reskeras.errors import failure
from reskeras.stored import as_shape, parsed
from reskeras.strict_json import to_json

MANIFEST = "reskeras-manifest.json"
LARGEST = 256 << 20  # bytes
VERSION = 1


@dataclass(frozen=True)
class Entry:
    """The size in bytes and the SHA-256 of an object; no hash for one that was there before the manifest."""

    size: int
    sha256: str = ""


@dataclass(frozen=True)
class Manifest:
    """`files` are the objects that a reader may trust, by name. `pending` are being put in their place: a process that
    is killed meanwhile leaves either content, and a reader takes both. A name that is only pending is not there yet."""

    files: Mapping[str, Entry] = field(default_factory=dict)
    pending: Mapping[str, Entry] = field(default_factory=dict)
    version: int = VERSION

    def announcing(self, entries: Mapping[str, Entry]) -> Manifest:
        """The manifest before the objects `entries` are put."""
        return Manifest(self.files, {**self.pending, **entries})

    def holding(self, entries: Mapping[str, Entry]) -> Manifest:
        """The manifest after they have been put."""
        pending = {name: entry for name, entry in self.pending.items() if name not in entries}
        return Manifest({**self.files, **entries}, pending)

    def without(self, names: set[str]) -> Manifest:
        """The manifest before the objects `names` are deleted."""
        files = {name: entry for name, entry in self.files.items() if name not in names}
        return Manifest(files, {name: entry for name, entry in self.pending.items() if name not in names})

    def allowed(self, name: str) -> tuple[Entry, ...]:
        """What the object may hold."""
        return tuple(each[name] for each in (self.files, self.pending) if name in each)

    def encoded(self) -> bytes:
        """As JSON."""
        return to_json(asdict(self), indent=1).encode()

    @classmethod
    def read(cls, data: bytes, address: str) -> Manifest:
        """The manifest in `data`; `failure` that names `address` when it is broken."""
        try:
            manifest = as_shape(parsed(data.decode()), cls)
        except ValueError as error:
            raise failure(f"{address}/{MANIFEST} is broken: {error}") from error
        if manifest.version != VERSION:
            raise failure(f"{address}/{MANIFEST} is of version {manifest.version}; this reskeras reads {VERSION}")
        return manifest


def entry_of(file: Path) -> Entry:
    """The entry of a file of this machine."""
    with open(file, "rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
        return Entry(opened.tell(), digest)
