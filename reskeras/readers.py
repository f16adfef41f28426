"""The kinds of sources: how each is named, what is annotated in its images, and the function that opens it.

Other packages add kinds of classified images by an entry point in the group `reskeras.sources`: its name is the kind,
its value the opener. Entry points are looked up when kinds are listed, and imported when such a source is opened.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from reskeras.addresses import address_form, is_address
from reskeras.errors import ReskerasError, failure
from reskeras.files import local_path

CLASSES, OBJECTS = "classes", "objects"  # what is annotated in an image: the class that it shows, or boxes


@dataclass(frozen=True)
class Reader:
    """A kind of source.

    `usage` is how it is named: `digits`, `folder:PATH`, `tfds:NAME[/CONFIG]`. `opener`, "module:function", maps what
    follows the colon (a Path where usage says PATH, else text; the whole name where it has no colon) and a
    `data.purpose.Purpose` to a `data.source.Source`, or to what has a `source(purpose)`. `beside`: what it is named by
    refers to files beside it. `title` is what its format is called; `recogniser`, "module:function", says of a folder
    whether it holds that format.
    """

    usage: str
    annotation: str
    opener: str
    beside: bool = False
    title: str = ""
    recogniser: str = ""

    @property
    def kind(self) -> str:
        """The part before the colon."""
        return self.usage.partition(":")[0]

    @property
    def start(self) -> str:
        """The part that shells complete."""
        return "".join(self.usage.partition(":")[:2])

    @property
    def of_path(self) -> bool:
        """Whether it is named by a folder or a file on this machine."""
        return self.usage.endswith(":PATH")

    def takes(self, name: str) -> bool:
        """Whether `name` is of this kind."""
        kind, _, rest = name.partition(":")
        return kind == self.kind and bool(rest) == (":" in self.usage)

    def open(self, name: str, purpose: Any) -> Any:
        """The source called `name`."""
        place: str | Path = name.partition(":")[2] or name
        if self.beside and is_address(place):
            folder, _, file = address_form(place).rpartition("/")
            place = local_path(folder, "data") / file
        elif self.of_path:
            place = local_path(place, "data").expanduser()  # no shell expands the ~ of folder:~/images
        return resolve_name(self.opener)(place, purpose)


@dataclass(frozen=True)
class Plugin(Reader):
    """A kind of source from another `package`, by an entry point."""

    package: str = ""

    def open(self, name: str, purpose: Any) -> Any:
        """The source called `name`. A ReskerasError of the plugin is passed on; whatever else fails in it is status 1
        and names it."""
        try:
            return resolve_name(self.opener)(name.partition(":")[2], purpose)
        except ReskerasError:
            raise
        except Exception as error:
            said = (str(error).strip().splitlines() or [""])[0][:200]
            raise failure(f"data: {name}: {self.described} failed: {type(error).__name__}: {said}") from error

    @property
    def described(self) -> str:
        """`the entry point shapes = shapes.reading:open of package shapes`."""
        return f"the entry point {self.kind} = {self.opener} of package {self.package}"


READERS = [
    Reader("digits", CLASSES, "reskeras.data.digits:open_digits"),
    Reader("cifar10", CLASSES, "reskeras.data.prepared:open_prepared"),
    Reader("cifar100", CLASSES, "reskeras.data.prepared:open_prepared"),
    Reader("tfds:NAME[/CONFIG]", CLASSES, "reskeras.data.prepared:open_prepared"),
    Reader("folder:PATH", CLASSES, "reskeras.data.folder:open_folder"),
    Reader("csv:PATH", CLASSES, "reskeras.data.csv_table:open_csv", beside=True),
    Reader("npz:PATH", CLASSES, "reskeras.data.npz:open_npz"),
    Reader("classes:DATA", CLASSES, "reskeras.tasks.detection.shown_classes:open_classes"),
    Reader("digits-boxes", OBJECTS, "reskeras.tasks.detection.digits_boxes:read_digits_boxes"),
    Reader("digits-loc", OBJECTS, "reskeras.tasks.detection.digits_loc:read_digits_loc"),
    *(
        Reader(
            f"{kind}:PATH",
            OBJECTS,
            f"reskeras.tasks.detection.annotations.{module}:read_{module}",
            title=title,
            recogniser=f"reskeras.tasks.detection.annotations.{module}:is_{module}",
        )
        for kind, module, title in (
            ("voc", "voc", "Pascal VOC"),
            ("coco", "coco", "COCO"),
            ("yolo", "yolo", "YOLO"),
            ("labelme", "labelme", "LabelMe"),
            ("openimages", "open_images", "Open Images"),
            ("huggingface", "hugging_face", "Hugging Face metadata.jsonl"),
        )
    ),
    Reader("tfds:NAME[/CONFIG]", OBJECTS, "reskeras.tasks.detection.annotations.tfds:read_tfds", title="TFDS"),
]


KIND = re.compile(r"[A-Za-z][\w.+-]*")
GROUP = "reskeras.sources"


@cache
def _offered() -> tuple[Plugin, ...]:
    """The kinds of other packages, in the order of their names."""
    return tuple(sorted((_plugin(each) for each in entry_points(group=GROUP) if KIND.fullmatch(each.name)), key=_order))


def _plugin(point: EntryPoint) -> Plugin:
    return Plugin(f"{point.name}:...", CLASSES, point.value, package=point.dist.name if point.dist else "?")


def _order(plugin: Plugin) -> tuple[str, str]:
    return plugin.kind, plugin.package


def plugins() -> list[Plugin]:
    """The kinds that other packages add; none that has a name of ours."""
    ours = {reader.kind for reader in READERS}
    return [plugin for plugin in _offered() if plugin.kind not in ours]


def readers_of(annotation: str) -> list[Reader]:
    """The kinds of sources with this annotation."""
    return [reader for reader in (*READERS, *plugins()) if reader.annotation == annotation]


def reader_for(name: str, annotation: str) -> Reader | None:
    """The reader that `name` is for; ReskerasError (status 2) where two packages offer its kind."""
    found = [reader for reader in readers_of(annotation) if reader.takes(name)]
    if len(found) > 1:
        both = " and ".join(reader.described for reader in found[:2] if isinstance(reader, Plugin))
        raise ReskerasError(f"data: {name}: {both} are of the same kind; uninstall one of them")
    return found[0] if found else None


def recognised(folder: Path, annotation: str) -> list[Reader]:
    """The kinds of sources whose format `folder` holds."""
    found = (reader for reader in READERS if reader.annotation == annotation and reader.recogniser)
    return [reader for reader in found if resolve_name(reader.recogniser)(folder)]


def ignored_plugins(kind: str) -> Sequence[str]:
    """Notes on packages that offer a `kind` of ours, which they do not get."""
    same = [each for each in _offered() if each.kind == kind] if any(kind == each.kind for each in READERS) else []
    return [f"{each.described} is ignored: {kind} is a kind of reskeras' own" for each in same]


def kinds_of(annotation: str) -> set[str]:
    """The parts before the colon in their names."""
    return {reader.kind for reader in readers_of(annotation)}


def is_named(name: str) -> bool:
    """Whether a source can be opened by `name`, such as cifar10@1000."""
    whole = re.sub(r"@\d+$", "", name)
    return any(reader.takes(each) for reader in (*READERS, *plugins()) for each in (name, whole))


def usages(annotation: str) -> str:
    """The usages of those sources, for help texts: "voc:PATH, coco:PATH or tfds:NAME[/CONFIG]"."""
    *others, last = (reader.usage for reader in readers_of(annotation))
    return f"{', '.join(others)} or {last}" if others else last


def is_path_kind(kind: str) -> bool:
    """Whether what follows `kind:` is a folder or a file on this machine."""
    return any(reader.of_path and reader.kind == kind for reader in READERS)
