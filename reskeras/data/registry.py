"""Sources by name: `digits`, `cifar10`, `tfds:NAME`, `folder:PATH`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from reskeras.data.source import Source
from reskeras.errors import ReskerasError, unknown


def open_source(name: str, data_dir: str | Path | None = None) -> Source:
    """The source called `name`: digits, cifar10, cifar100, tfds:NAME[/CONFIG] or folder:PATH.

    `data_dir` is where TFDS sets are prepared. Nothing is downloaded. Raises ReskerasError (status 2) for
    an unknown name, a set that is not there, or fewer than two classes.
    """
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
    else:
        raise unknown("data", name, ("digits", "cifar10", "cifar100", "tfds:NAME[/CONFIG]", "folder:PATH"))
    if len(source.classes) < 2:
        raise ReskerasError(f"data: {name} has one class ({source.classes[0]}); a classifier needs two or more")
    return replace(source, name=name)
