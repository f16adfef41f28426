"""Sources by name: `digits`, `cifar10`, `tfds:NAME`, `folder:PATH`; `NAME@10000` for a part of the training images."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from reskeras.data.source import Source
from reskeras.errors import ReskerasError, unknown


def open_source(name: str, data_dir: str | Path | None = None) -> Source:
    """The source called `name`: digits, cifar10, cifar100, tfds:NAME[/CONFIG] or folder:PATH.

    With `@N` at its end, such as cifar10@10000, N of its training images, of each class alike, and all its test
    images. `data_dir` is where TFDS sets are prepared. Nothing is downloaded. Raises ReskerasError (status 2) for
    an unknown name, a set that is not there, fewer than two classes, or a part that is not there.
    """
    whole, part = re.fullmatch(r"(.*?)(?:@(\d{1,9}))?", name, re.DOTALL).groups()
    source = _open_whole(whole, data_dir)
    return source if part is None else _with_part(source, name, int(part))


def _with_part(source: Source, name: str, count: int) -> Source:
    from reskeras.data.sample import part_of_each_class

    if not len(source.classes) <= count <= source.train.count:
        raise ReskerasError(f"data: {name}: {count:,} is not from {len(source.classes)}, an image of each class, to "
                            f"{source.train.count:,}, all its training images")
    return replace(source, name=name, label=f"{source.label}, {count:,} training images",
                   train=part_of_each_class(source.train, count))


def _open_whole(name: str, data_dir: str | Path | None) -> Source:
    kind, _, rest = name.partition(":")
    if name == "digits":
        from reskeras.data.digits import open_digits as opened

        source = opened()
    elif kind == "folder" and rest:
        from reskeras.data.folder import open_folder

        source = open_folder(Path(rest).expanduser())  # no shell expands the ~ of folder:~/images
    elif name in ("cifar10", "cifar100") or (kind == "tfds" and rest):
        from reskeras.data.prepared import open_prepared

        source = open_prepared(rest or name, data_dir)
    elif kind in ("voc", "coco"):
        raise ReskerasError(f"data: {name} has annotated images, which are for detectors; see reskeras detect --help")
    else:
        raise unknown("data", name, ("digits", "cifar10", "cifar100", "tfds:NAME[/CONFIG]", "folder:PATH"))
    if len(source.classes) < 2:
        raise ReskerasError(f"data: {name} has one class ({source.classes[0]}); a classifier needs two or more")
    return replace(source, name=name)
