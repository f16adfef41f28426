"""Sources by name: `digits`, `tfds:NAME`, `folder:PATH`, ...; `NAME@10000` for a part of the training images."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from reskeras.addresses import named
from reskeras.data.division import DIVISION
from reskeras.data.given import in_memory
from reskeras.data.purpose import Purpose
from reskeras.data.sample import part_of_each_class, sample_of_each_class
from reskeras.data.source import Source, Split
from reskeras.errors import ReskerasError, failure, unknown
from reskeras.readers import (
    CLASSES,
    OBJECTS,
    READERS,
    Plugin,
    Reader,
    ignored_plugins,
    is_path_kind,
    kinds_of,
    reader_for,
    readers_of,
    recognised,
    usages,
)
from reskeras.walk import check_folder, is_archive

Data = Any  # a name, a Source, arrays or datasets: see `request.source`


@runtime_checkable
class Unfinished(Protocol):
    """What a reader may give instead of a Source: data that is finished for a purpose."""

    def source(self, purpose: Purpose) -> Source:
        """The data as a Source."""


def named_reader(name: str, annotation: str) -> tuple[str, Reader]:
    """The reader for `annotation` of the source called `name`, and the name with its kind, which a folder may lack.

    ReskerasError (status 2) where there is none, or a folder holds two formats.
    """
    if reader := reader_for(name, annotation):
        return name, reader
    if found := kind_of_folder(name, annotation):
        return f"{found.kind}:{name}", found
    if annotation == OBJECTS and name and "\0" not in name and (place := Path(name).expanduser()).exists():
        formats = ", ".join(each.title for each in READERS if each.annotation == OBJECTS and each.recogniser)
        what = "a folder without annotations that are recognised" if place.is_dir() else "a file"
        raise ReskerasError(f"data: {name} is {what}; give the folder of a set in one of the formats {formats}")
    if annotation == OBJECTS and reader_for(name, CLASSES):
        raise ReskerasError(
            f"data: {name} has images without boxes, which are for classifiers: see reskeras train; annotated images "
            f"are {usages(OBJECTS)}"
        )
    raise unknown("data", name, [each.usage for each in readers_of(annotation)])


def kind_of_folder(name: str, annotation: str) -> Reader | None:
    """The reader for the format that the folder at the path `name` holds; None for what is no such folder.

    ReskerasError (status 2) for an archive, and for a folder of two formats.
    """
    if not name or "\0" in name:
        return None
    place = Path(os.path.expanduser(name))
    if is_archive(place):
        check_folder(place)
    if not place.is_dir():
        return None
    found = recognised(place, annotation)
    if len(found) > 1:
        *others, last = (each.title for each in found)
        named = " or ".join(f"{each.kind}:{name}" for each in found)
        raise ReskerasError(f"data: {name} holds {', '.join(others)} and {last} annotations; name one: {named}")
    return found[0] if found else None


def opened(name: str, annotation: str, purpose: Purpose) -> Source:
    """The source called `name`, by the reader for `annotation` that accepts it; ReskerasError (status 2) when there
    is none. Nothing is downloaded.

    With `@N` at its end, N of its training images and all its test images; a folder whose own name ends so is that
    folder. A folder without a kind is of the one whose format it holds.
    """
    whole, part = whole_and_part(name)
    found, reader = named_reader(whole, annotation)
    asked, name = found + name.removeprefix(whole), found
    source = reader.open(name, purpose)
    if isinstance(source, Unfinished) and not isinstance(reader, Plugin):
        source = source.source(purpose)
    elif isinstance(reader, Plugin) and not isinstance(source, Source):
        raise failure(f"data: {name}: {reader.described} gave a {type(source).__name__} instead of a reskeras.Source")
    notes = (*map(named, source.notes), *ignored_plugins(reader.kind))
    source = replace(source, name=name, notes=notes, given="", data_dir=purpose.data_dir)
    return source if part is None else _with_part(source, asked, part)


def whole_and_part(name: str) -> tuple[str, int | None]:
    """The source that a name is about, and of how many of its training images, if it says so."""
    match = re.fullmatch(r"(.*?)@(\d{1,9})", name, re.DOTALL)
    kind, _, place = name.partition(":")
    whole = place if is_path_kind(kind) else name
    if match is None or os.path.exists(os.path.expanduser(whole)):
        return name, None
    return match[1], int(match[2])


def open_source(
    data: Data, data_dir: str | Path | None = None, *, division: int = DIVISION, testing: Sequence[str] | None = None
) -> Source[Split]:
    """The source of classified images that `data` is the name of: digits, cifar10, cifar100, tfds:NAME[/CONFIG],
    folder:PATH or another of readers.py; or what `request.source` takes instead of a name.

    With `@N` at its end, such as cifar10@10000, N of its training images, of each class alike, and all its test
    images; a folder whose own name ends so is that folder. `data_dir` is where TFDS sets are prepared. Nothing is
    downloaded.

    `division` is the version of the rule by which images are held back, which a run keeps. `testing` are the classes of
    a run: the source is then opened for testing. All images of a folder without a test split, and of a TFDS set
    without one, are for test; its classes are put in the run's order by name, and some may be missing. Of a run that
    has no names for its classes these are empty, and the source's are taken in their own order.

    Raises ReskerasError (status 2) for an unknown name, a set that is not there, fewer than two classes to train on, a
    class that is not among those of `testing`, or a part that is not there.
    """
    purpose = Purpose(data_dir, division, testing)
    if not isinstance(data, str):
        return _matched(data if isinstance(data, Source) else in_memory(data).source(purpose), testing)
    _check_kind(whole_and_part(data)[0])
    return _matched(opened(data, CLASSES, purpose), testing)


def enough_classes(source: Source[Split]) -> Source[Split]:
    """`source`, or a ReskerasError for one of too few classes to train on: two, or one of several labels."""
    if len(source.classes) < 2 and not source.multi_label:
        raise ReskerasError(f"data: {source.name} has one class ({source.classes[0]}); a classifier needs two or more")
    return source


def _matched(source: Source[Split], testing: Sequence[str] | None) -> Source[Split]:
    """`source` with the classes of a run, if it is `testing` one."""
    if testing is None:
        return enough_classes(source)
    return source.matched(testing) if testing else source


def _check_kind(name: str) -> None:
    """ReskerasError with advice for what is most often mistaken for a source of classified images."""
    if name.partition(":")[0] in kinds_of(OBJECTS) - kinds_of(CLASSES):
        raise ReskerasError(
            f"data: {name} has annotated images, which are for detectors and localisers: see reskeras detect and "
            f"reskeras localise; a classifier of what they show takes classes:{name}"
        )
    if not name or "\0" in name or any(reader.takes(name) for reader in readers_of(CLASSES)):
        return
    place = Path(name).expanduser()
    if place.is_dir():
        raise ReskerasError(f"data: {name} is a folder; if it has one folder of images per class, use folder:{name}")
    if (kind := place.suffix.lower().removeprefix(".")) in ("csv", "npz") and place.is_file():
        raise ReskerasError(f"data: {name} is a file; use {kind}:{name}")


def _with_part(source: Source, name: str, count: int) -> Source:
    """`source` with `count` of its training images, of each class alike; where they have objects, the same images as
    with the classes of these."""
    train, least, why = source.training_images(f"data: {name}"), 1, "one"
    if isinstance(train, Split):
        least, why = len(source.classes), "one per class"
    if not least <= count <= train.count:
        raise ReskerasError(
            f"data: {name}: {count:,} images requested; use {least} ({why}) to {train.count:,} (all training images)"
        )
    if isinstance(train, Split):
        part = part_of_each_class(train, count)
    else:
        held = train.held(len(source.classes))
        part = train.part(train.name, sample_of_each_class(held, count))
    return replace(source, name=name, label=f"{source.label}, {count:,} training images", train=part)
