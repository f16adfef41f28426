"""How what is found in image files is told: printed, as JSON or as CSV, with the files that could not be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reskeras.files import write_csv
from reskeras.image_files import image_files

from .output import echo, emit_json
from .paths import STDOUT
from .run_options import Broken


@dataclass(frozen=True)
class AnswerFormat:
    """What answers, dataclasses with a `path`, look like: lines of CSV under `titles`, and printed by `echo`."""

    titles: tuple[str, ...]
    rows: Callable[[Any], list[list[Any]]]
    echo: Callable[[Sequence[Any]], None]

    def tell(self, paths: Sequence[Path], ask: Callable[[Sequence[Path], Broken], Sequence[Any]], csv: Path | None,
             as_json: bool, out: Path | None = None) -> None:
        """`ask` of all images that `paths` name, and tell what it answers; `out` is what it wrote besides.

        Ends in a ReskerasError (status 1) when a file could not be read, after the others were told.
        """
        with image_files(paths) as files:
            broken = Broken(files)
            found = [replace(each, path=files.name(each.path)) for each in ask(files.paths, broken)]
        if csv:
            write_csv(csv, [self.titles, *(row for each in found for row in self.rows(each))])
        if as_json:
            emit_json(broken.told(found))
        elif found and csv != STDOUT:
            self.echo(found)
        if not as_json and csv != STDOUT:
            for path in filter(None, (out, csv)):
                echo(f"written    {path}")
        broken.finish()
