"""Sources by name: `digits`, `cifar10`, `tfds:NAME`, `folder:PATH`; `NAME@10000` for a part of the training images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from reskeras.addresses import named
from reskeras.data.division import DIVISION
from reskeras.data.purpose import Purpose
from reskeras.data.sample import part_of_each_class
from reskeras.data.source import Source, Split
from reskeras.errors import ReskerasError, unknown
from reskeras.readers import CLASSES, OBJECTS, kinds_of, readers_of


def opened(name: str, annotation: str, purpose: Purpose) -> Source:
    """The source called `name`, by the reader for `annotation` that accepts it; ReskerasError (status 2) when there
    is none. Nothing is downloaded."""
    readers = readers_of(annotation)
    for reader in readers:
        if reader.takes(name):
            source = reader.open(name, purpose)
            return replace(source, name=name, notes=tuple(map(named, source.notes)))
    raise unknown("data", name, [reader.usage for reader in readers])


def open_source(
    name: str, data_dir: str | Path | None = None, *, division: int = DIVISION, testing: Sequence[str] | None = None
) -> Source[Split]:
    """The source of classified images called `name`: digits, cifar10, cifar100, tfds:NAME[/CONFIG] or folder:PATH.

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
    match = re.fullmatch(r"(.*?)@(\d{1,9})", name, re.DOTALL)
    whole, part = match.groups() if match else (name, None)
    if part and name.startswith("folder:") and Path(name.removeprefix("folder:")).expanduser().is_dir():
        whole, part = name, None
    _check_kind(whole)
    source = opened(whole, CLASSES, Purpose(data_dir, division, testing))
    if testing is None and len(source.classes) < 2:
        raise ReskerasError(f"data: {whole} has one class ({source.classes[0]}); a classifier needs two or more")
    if testing:
        source = source.matched(testing)
    return source if part is None else _with_part(source, name, int(part))


def _check_kind(name: str) -> None:
    """ReskerasError with advice for what is most often mistaken for a source of classified images."""
    if name.partition(":")[0] in kinds_of(OBJECTS) - kinds_of(CLASSES):
        raise ReskerasError(f"data: {name} has annotated images, which are for detectors; see reskeras detect --help")
    if name and not any(reader.takes(name) for reader in readers_of(CLASSES)) and Path(name).expanduser().is_dir():
        raise ReskerasError(f"data: {name} is a folder; if it has one folder of images per class, use folder:{name}")


def _with_part(source: Source[Split], name: str, count: int) -> Source[Split]:
    train = source.training_images(f"data: {name}")
    if not len(source.classes) <= count <= train.count:
        raise ReskerasError(
            f"data: {name}: {count:,} images requested; use {len(source.classes)} (one per class) to "
            f"{train.count:,} (all training images)"
        )
    return replace(
        source, name=name, label=f"{source.label}, {count:,} training images", train=part_of_each_class(train, count)
    )
