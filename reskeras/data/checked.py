"""Cache of checked image files: each was found readable, until its size or modification time changes."""

from __future__ import annotations

import hashlib
import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL
import tensorflow as tf

from reskeras.data import decode as decoding
from reskeras.data.batches import READERS
from reskeras.data.plain import JPEG, PNG, plain_format
from reskeras.data.user_cache import cache_file
from reskeras.errors import ReskerasError
from reskeras.files import write_json

VERSION = 3


@dataclass(frozen=True)
class Checked:
    """A checked file: size in bytes, modification time in ns, Pillow's name for its mode (None if broken), its plain
    format (see plain.py), and 64 bits of a hash of its bytes."""

    size: int
    mtime_ns: int
    mode: str | None
    plain: str | None = None
    content: int = 0


def check_files(source: Path, files: list[Path]) -> dict[Path, Checked]:
    """Check each of `files` of a `source`, a folder or a list of files, by decoding it in a pool of threads (about 1 ms
    for a small image), unless the cache has it with this name, size and time.

    The cache is in the user's, see user_cache.py. Broken files are not cached: they may be repaired, or their
    permissions, without a change of time.
    """
    place = cache_file("folders", [source], ".json")
    known, found = _remembered(place), {}
    with ThreadPoolExecutor(READERS) as pool:
        now = dict(zip(files, pool.map(_stat, files), strict=True))
    for file in files:
        entry = known.get(_name(source, file))
        if now[file] and entry and now[file] == (entry.size, entry.mtime_ns):
            found[file] = entry
    fresh = [file for file in files if file not in found]
    # Pillow warns of what is then refused by name; filters are the process's, not a thread's, so set them here
    with warnings.catch_warnings(), ThreadPoolExecutor(READERS) as pool:
        warnings.simplefilter("ignore")
        for file, examined in zip(fresh, pool.map(_examined, fresh), strict=True):
            (size, mtime_ns), (mode, plain, content) = now[file] or (0, 0), examined
            found[file] = Checked(size, mtime_ns, mode, plain, content)
    if place and any(found[file].mode for file in fresh):
        _remember(place, {_name(source, file): entry for file, entry in found.items() if entry.mode})
    return found


def _stat(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _examined(file: Path) -> tuple[str | None, str | None, int]:
    """Pillow's mode of a file, its plain format and the hash of its content, 0 when it has gone meanwhile."""
    mode = _mode(file)
    if mode is None:
        return None, None, 0
    try:
        data = file.read_bytes()
    except OSError:
        return mode, None, 0
    digest = hashlib.blake2b(data, digest_size=8).digest()
    return mode, plain_format(data, decoding.LARGEST_IMAGE), int.from_bytes(digest, "little")


def _mode(file: Path) -> str | None:
    """Pillow's mode of an image that can be read, else None."""
    try:
        return decoding.read_image(file)[1]
    except ReskerasError:
        return None


def why_not_read(file: Path) -> str:
    """What is wrong with an image that was found to be broken, phrased to follow its name."""
    try:
        decoding.read_image(file)
    except ReskerasError as error:
        return str(error).removeprefix(f"image: {file} ")
    return "can be read now"


def _name(source: Path, file: Path) -> str:
    return str(file.relative_to(source) if file.is_relative_to(source) else file)


def _readers() -> list[Any]:
    """The versions and limits that checks depend on; the cache of others is ignored."""
    return [VERSION, tf.__version__, PIL.__version__, decoding.LARGEST_IMAGE]


def _remembered(place: Path | None) -> dict[str, Checked]:
    """Entries by name; none when there is no such file, or it is not what `_remember` writes."""
    if place is None:
        return {}
    try:
        saved = json.loads(place.read_text(encoding="ascii"))
        if saved["readers"] != _readers():
            return {}
        contents = saved["contents"]
        entries = {
            name: Checked(size, mtime_ns, mode, plain, contents[name])
            for name, (size, mtime_ns, mode, plain) in saved["files"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    sound = all(
        type(entry.size) is type(entry.mtime_ns) is type(entry.content) is int
        and isinstance(entry.mode, str)
        and entry.plain in (None, JPEG, PNG)
        and 0 <= entry.content < 1 << 64
        for entry in entries.values()
    )
    return entries if sound else {}


def _remember(place: Path, entries: dict[str, Checked]) -> None:
    """Write the file atomically: of two processes the later one wins, and nobody reads a partial file."""
    with suppress(ReskerasError):  # a home that cannot be written to: the files are checked again next time
        write_json(
            place,
            {
                "readers": _readers(),
                "files": {
                    name: [entry.size, entry.mtime_ns, entry.mode, entry.plain] for name, entry in entries.items()
                },
                "contents": {name: entry.content for name, entry in entries.items()},
            },
            indent=None,
        )
