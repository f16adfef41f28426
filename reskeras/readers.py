"""The kinds of sources: how each is named, what is annotated in its images, and the function that opens it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from reskeras.files import local_path

CLASSES, OBJECTS = "classes", "objects"  # what is annotated in an image: the class that it shows, or boxes


@dataclass(frozen=True)
class Reader:
    """A kind of source.

    `usage` is how it is named: `digits`, `folder:PATH`, `tfds:NAME[/CONFIG]`. `opener`, "module:function", maps what
    follows the colon (a Path where usage says PATH, else text; the whole name where it has no colon) and a
    `data.purpose.Purpose` to a `data.source.Source`.
    """

    usage: str
    annotation: str
    opener: str

    @property
    def kind(self) -> str:
        """The part before the colon."""
        return self.usage.partition(":")[0]

    @property
    def start(self) -> str:
        """The part that shells complete."""
        return "".join(self.usage.partition(":")[:2])

    @property
    def of_folder(self) -> bool:
        """Whether it is named by a folder on this machine."""
        return self.usage.endswith(":PATH")

    def takes(self, name: str) -> bool:
        """Whether `name` is of this kind."""
        kind, _, rest = name.partition(":")
        return kind == self.kind and bool(rest) == (":" in self.usage)

    def open(self, name: str, purpose: Any) -> Any:
        """The source called `name`."""
        place: str | Path = name.partition(":")[2] or name
        if self.of_folder:
            place = local_path(place, "data").expanduser()  # no shell expands the ~ of folder:~/images
        return resolve_name(self.opener)(place, purpose)


READERS = [
    Reader("digits", CLASSES, "reskeras.data.digits:open_digits"),
    Reader("cifar10", CLASSES, "reskeras.data.prepared:open_prepared"),
    Reader("cifar100", CLASSES, "reskeras.data.prepared:open_prepared"),
    Reader("tfds:NAME[/CONFIG]", CLASSES, "reskeras.data.prepared:open_prepared"),
    Reader("folder:PATH", CLASSES, "reskeras.data.folder:open_folder"),
    Reader("voc:PATH", OBJECTS, "reskeras.tasks.detection.voc:open_voc"),
    Reader("coco:PATH", OBJECTS, "reskeras.tasks.detection.coco:open_coco"),
    Reader("tfds:NAME[/CONFIG]", OBJECTS, "reskeras.tasks.detection.tfds:open_tfds"),
]


def readers_of(annotation: str) -> list[Reader]:
    """The kinds of sources with this annotation."""
    return [reader for reader in READERS if reader.annotation == annotation]


def kinds_of(annotation: str) -> set[str]:
    """The parts before the colon in their names."""
    return {reader.kind for reader in readers_of(annotation)}


def usages(annotation: str) -> str:
    """The usages of those sources, for help texts: "voc:PATH, coco:PATH or tfds:NAME[/CONFIG]"."""
    *others, last = (reader.usage for reader in readers_of(annotation))
    return f"{', '.join(others)} or {last}" if others else last


def is_folder_kind(kind: str) -> bool:
    """Whether what follows `kind:` is a folder on this machine."""
    return any(reader.of_folder and reader.kind == kind for reader in READERS)
