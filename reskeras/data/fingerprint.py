"""Fingerprints of data, kept in a run, so that a training is resumed on the images that it began with.

Images in files are identified one by one, by name, content and label; sets of records by version and sizes of records.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np

from reskeras.data.class_labels import as_numbers
from reskeras.data.division import name_hashes
from reskeras.documents.changes import changes
from reskeras.files import atomic_file
from reskeras.walk import counted_images

VERSION = 1
REORDERED = "its images are in a different order"
ENTRY = np.dtype([("name", "<u8"), ("content", "<u8"), ("label", "<i4")])
LARGEST_FILE = 4 << 30  # bytes; 20 an image


class Identified(Protocol):
    """Protocol of sources with a fingerprint; their splits have a `count` and `entries`, or None."""

    @property
    def name(self) -> str:
        """The source as typed, such as `folder:PATH`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def division(self) -> int:
        """The version of the rule by which images are held back from training."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What tells the data from other data of the same name."""

    @property
    def given(self) -> str:
        """What data was that has no name to open it by."""

    def splits(self) -> Mapping[str, Any]:
        """The splits by name."""


@dataclass(frozen=True)
class Fingerprint:
    """`facts` are plain data, small and readable, whose `digest` covers `entries`: an array of ENTRY for each split
    whose images are identified one by one."""

    facts: dict[str, Any]
    entries: dict[str, np.ndarray] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the entries; nothing where there are none."""
        if self.entries:
            arrays: dict[str, Any] = dict(self.entries)
            with atomic_file(path) as beside, open(beside, "wb") as file:
                np.savez(file, **arrays)

    @classmethod
    def load(cls, facts: Mapping[str, Any], path: Path) -> Fingerprint:
        """What `save` wrote, with its facts; without entries where the file is missing or invalid."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                if sum(member.file_size for member in arrays.zip.infolist()) > LARGEST_FILE:
                    return cls(dict(facts))
                entries = {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, EOFError, KeyError, AttributeError, MemoryError, BadZipFile, zlib.error):
            return cls(dict(facts))
        sound = all(entry.dtype == ENTRY and entry.ndim == 1 for entry in entries.values())
        return cls(dict(facts), entries if sound and _digest(entries) == facts.get("digest") else {})

    def differences(self, now: Fingerprint) -> list[str]:
        """How the data `now` differs from this, in words: "40 images are gone"; nothing when it is the same."""
        if self.facts.get("version") != now.facts["version"] or self.facts == now.facts:
            return []
        if self.entries and now.entries and (found := list(_of_images(self.entries, now.entries))):
            return found
        return list(_of_facts(self.facts, now.facts))


def fingerprint(source: Identified) -> Fingerprint:
    """The fingerprint of a source as it is now."""
    splits = source.splits()
    entries = {name: split.entries for name, split in splits.items() if split.entries is not None}
    names = hashlib.sha256("\n".join(source.classes).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    facts = {
        "version": VERSION,
        "classes": names,
        **{name: split.count for name, split in splits.items()},
        **source.facts,
    }
    return Fingerprint(facts | ({"digest": _digest(entries)} if entries else {}), entries)


def entries(names: Sequence[str], contents: Sequence[int], labels: Sequence[int] | np.ndarray) -> np.ndarray:
    """ENTRY (n,) of images by name, 64 bits that stand for the content, and label, one or several."""
    found = np.empty(len(names), ENTRY)
    found["name"], found["content"] = name_hashes(names), np.asarray(contents, np.uint64)
    found["label"] = as_numbers(np.asarray(labels))
    return found


def order_of(splits: Mapping[str, Any]) -> dict[str, str]:
    """A hash of the order of each split's images, for the `facts` of a source that has them in an order of its own;
    `splits` have `entries`."""
    return {name: hashlib.sha256(split.entries.tobytes()).hexdigest()[:16] for name, split in splits.items()}


def _digest(entries: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the entries of each split, in whatever order."""
    total = hashlib.sha256()
    for name in sorted(entries):
        total.update(f"{name}\0{len(entries[name])}\0".encode())
        total.update(np.sort(entries[name]).tobytes())
    return total.hexdigest()


def _of_images(old: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]) -> Iterator[str]:
    """Differences between images, each counted once, as the first kind that applies."""
    before, now = _leftovers(old, new)
    kinds = (
        ("the label of 1 image changed", "the labels of {} images changed", ("content",)),
        ("the content of 1 image changed", "the contents of {} images changed", ("name", "label")),
    )
    same = _matched(before, now, ("name", "content", "label"))
    if same:
        yield f"{counted_images(same)} moved to another split"
    renamed = _matched(before, now, ("content", "label"))
    for one, more, keys in kinds:
        if count := _matched(before, now, keys):
            yield one if count == 1 else more.format(f"{count:,}")
    for count, what in ((before.total(), "gone"), (now.total(), "new")):
        if count:
            yield f"{counted_images(count)} {'is' if count == 1 else 'are'} {what}"
    if renamed:
        yield f"{counted_images(renamed)} {'was' if renamed == 1 else 'were'} renamed"


Key = tuple[str, int, int, int]  # split, name, content, label


def _leftovers(old: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]) -> tuple[Counter[Key], Counter[Key]]:
    """The images that only one side has, compared in all fields."""
    before: Counter[Key] = Counter()
    now: Counter[Key] = Counter()
    for split in sorted(old.keys() | new.keys()):
        pair = [each.get(split, np.empty(0, ENTRY)) for each in (old, new)]
        for side, counter in enumerate((before, now)):
            alone = pair[side][~np.isin(pair[side], pair[1 - side])]
            counter.update((split, *row) for row in alone.tolist())
    return before, now


def _matched(before: Counter[Key], now: Counter[Key], keys: tuple[str, ...]) -> int:
    """Remove from both, and count, the images that agree in `keys`."""
    places = [1 + (ENTRY.names or ()).index(key) for key in keys]
    waiting: dict[tuple[str | int, ...], list[Key]] = {}
    for row in now.elements():
        waiting.setdefault(tuple(row[place] for place in places), []).append(row)
    count = 0
    for row in list(before.elements()):
        if same := waiting.get(tuple(row[place] for place in places)):
            before[row] -= 1
            now[same.pop()] -= 1
            count += 1
    return count


def _of_facts(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    said = {
        "classes": "its classes have different names",
        **dict.fromkeys(("digest", "records"), "its images are different"),
        "order": REORDERED,
    }
    # the records of several splits are told of once
    yield from dict.fromkeys(said.get(each.field.partition(".")[0], str(each)) for each in changes(old, new))
