"""Opens annotated images by name: `voc:PATH`, `tfds:NAME[/CONFIG]` and others, each with `@N` too; or by a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reskeras.data.division import DIVISION
from reskeras.data.purpose import Purpose
from reskeras.data.registry import kind_of_folder, named_reader, opened, whole_and_part
from reskeras.data.source import Source
from reskeras.data.tfds_builder import opened_builder
from reskeras.errors import ReskerasError
from reskeras.readers import CLASSES, OBJECTS, kinds_of, reader_for
from reskeras.tasks.detection.cleaning import AnnotatedSet
from reskeras.tasks.detection.objects import Objects


def open_objects(
    name: str, data_dir: str | Path | None = None, *, division: int = DIVISION, testing: Sequence[str] | None = None
) -> Source[Objects]:
    """The source of annotated images called `name`, which may be a folder of any of the formats; `data_dir` is where
    TFDS sets are prepared.

    `division` is the version of the splitting rule, which a run stores. `testing` are the classes of a detector to be
    evaluated: all images of a source without a test split are then test images.

    Nothing is downloaded. Raises ReskerasError (status 2) for an unknown name or a missing data set.
    """
    return opened(name, OBJECTS, Purpose(data_dir, division, testing))


def read_objects(name: str, data_dir: str | Path | None = None) -> AnnotatedSet:
    """The annotated images called `name` as their files say, undivided and not cleaned.

    Raises ReskerasError (status 2) as `open_objects` does, and for a source that has no such form.
    """
    name, part = whole_and_part(name)
    if part is not None:
        raise ReskerasError(f"data: {name}@{part} is part of a set; convert {name}")
    name, reader = named_reader(name, OBJECTS)
    found = reader.open(name, Purpose(data_dir))
    if not isinstance(found, AnnotatedSet):
        raise ReskerasError(f"data: {name} cannot be converted; its annotations are not in files")
    return found


def annotates_objects(name: str, data_dir: str | Path | None = None) -> bool:
    """Whether the source called `name` has annotated objects instead of image labels.

    A TFDS set with both counts as labelled images. ReskerasError (status 2) for a missing data set.
    """
    name, _ = whole_and_part(name)
    if not any(reader_for(name, each) for each in (OBJECTS, CLASSES)) and kind_of_folder(name, OBJECTS):
        return True
    kind, _, rest = name.partition(":")
    objects, classes = kind in kinds_of(OBJECTS), kind in kinds_of(CLASSES)
    if objects and classes and rest:
        features = opened_builder(rest, data_dir).info.features
        return "objects" in features and "label" not in features
    return objects and not classes
