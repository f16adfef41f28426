"""`reskeras.source`: whatever a caller has images in, as one Source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reskeras.caller_state import preserved
from reskeras.data.given import in_memory
from reskeras.data.purpose import Purpose
from reskeras.data.registry import enough_classes, open_source
from reskeras.data.source import Source, Split
from reskeras.errors import ReskerasError, shown

NAME = re.compile(r"(?!\.)[^:/\\]{0,99}[^:/\\\s]")


@preserved()
def source(
    data: Any,
    test: Any = None,
    *,
    validation: Any = None,
    classes: Sequence[str] | None = None,
    name: str | None = None,
    mirror: bool | None = None,
    multi_label: bool | None = None,
    data_dir: str | Path | None = None,
) -> Source[Split]:
    """The images of `data` as a Source, which `train`, `tune`, `reproduce` and the methods of a run take as `data`.

    `data` is one of:

    - a source's name, such as "folder:photos" (with TFDS sets in `data_dir`), or a Source;
    - arrays `(x, y)`, `((x, y), (x_test, y_test))` or `(x, y, x_test, y_test)`. Images are (n, height, width), with 1
      or 3 channels at the end or none, uint8 or numbers from 0 to 255, or floats from 0 to 1. Labels are numbers of
      classes from 0 (n,), names of classes (n,), or rows (n, classes) of 0 and 1: one-hot where all have a
      single 1, else, or with `multi_label`, for images of several classes;
    - a finite `tf.data.Dataset` of (image, label), single or in batches, or a pair of them, training and test. It is
      read once, into memory.

    `test` and `validation` are more of the same kind. Without test images one in five of each class is held out, by a
    hash of its pixels. `classes` are names for numbers and columns, in their order. `name` stands for the data in runs
    and results. `mirror`: whether a mirrored image keeps its class. Training sees images in the order given, so the
    same images in the same order give the same training whatever they come in.

    A run trained on arrays or datasets keeps a fingerprint of them, not the images: they have to be given again to
    resume, evaluate, export or analyse it. Raises ReskerasError: status 2 for data that is refused, 1 where reading it
    fails.
    """
    if isinstance(data, str | Source):
        extra = {"test": test, "validation": validation, "classes": classes, "name": name, "mirror": mirror}
        extra["multi_label"] = multi_label
        for field, value in extra.items():
            if value is not None:
                raise ReskerasError(f"{field}: only for arrays and datasets; a source has its own")
        return open_source(data, data_dir)
    if name is not None and not (isinstance(name, str) and NAME.fullmatch(name) and name.isprintable()):
        raise ReskerasError(f"name: {shown(name)}: should be a word or two, without a colon or slash")
    for field, value in {"mirror": mirror, "multi_label": multi_label}.items():
        if not isinstance(value, bool | None):
            raise ReskerasError(f"{field}: {shown(value)}: should be True or False")
    if data_dir is not None:
        raise ReskerasError("data_dir: only for a source's name")
    mirrored = mirror is not False
    given = in_memory(data, test, validation, classes=classes, name=name, mirror=mirrored, multi_label=multi_label)
    return enough_classes(given.source(Purpose()))
