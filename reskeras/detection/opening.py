"""Annotated images by name: `voc:PATH`, `coco:PATH`, `tfds:NAME[/CONFIG]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from reskeras.data.division import DIVISION
from reskeras.detection.cleaning import Purpose
from reskeras.detection.objects import ObjectSource
from reskeras.errors import unknown
from reskeras.files import local_path

CHOICES = ("voc:PATH", "coco:PATH", "tfds:NAME[/CONFIG]")


def open_objects(
    name: str, data_dir: str | Path | None = None, *, division: int = DIVISION, testing: Sequence[str] | None = None,
) -> ObjectSource:
    """The source of annotated images called `name`; `data_dir` is where TFDS sets are prepared.

    `division` is the version of the rule by which images are held back, which a run keeps. `testing` are the classes of
    a detector: all images of a source without any for test are then for test.

    Nothing is downloaded. Raises ReskerasError (status 2) for an unknown name or a set that is not there.
    """
    kind, _, rest = name.partition(":")
    purpose = Purpose(division, None if testing is None else tuple(testing))
    if kind == "voc" and rest:
        from reskeras.detection.voc import open_voc

        source = open_voc(local_path(rest, "data").expanduser(), purpose)  # no shell expands the ~ of voc:~/images
    elif kind == "coco" and rest:
        from reskeras.detection.coco import open_coco

        source = open_coco(local_path(rest, "data").expanduser(), purpose)
    elif kind == "tfds" and rest:
        from reskeras.detection.tfds import open_tfds

        source = open_tfds(rest, data_dir, purpose)
    else:
        raise unknown("data", name, CHOICES)
    return replace(source, name=name)


def annotates_objects(name: str, data_dir: str | Path | None = None) -> bool:
    """Whether the source called `name` is one of annotated images and none of classified ones.

    A TFDS set with objects and a label is one of classified images. ReskerasError (status 2) where it is not there.
    """
    kind, _, rest = name.partition(":")
    if kind == "tfds" and rest:
        from reskeras.data.prepared import opened_builder

        features = opened_builder(rest, data_dir).info.features
        return "objects" in features and "label" not in features
    return kind in ("voc", "coco")
