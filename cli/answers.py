"""Output of predictions on image files: printed, as JSON or as CSV, with the files that could not be read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from reskeras.files import write_csv
from reskeras.image_files import image_files

from .output import echo, emit_json_list
from .paths import STDOUT
from .run_options import Broken, singles


@dataclass(frozen=True)
class AnswerFormat:
    """The format of answers, dataclasses with a `path`: CSV `rows` under `titles`, and `echo` to print them. Where
    videos are taken too, whose answers are sequences of dataclasses, `of_frames` are the titles that their rows add."""

    titles: tuple[str, ...]
    rows: Callable[[Any], list[list[Any]]]
    echo: Callable[[Sequence[Any]], None]
    of_frames: tuple[str, ...] = ()

    def tell(
        self,
        paths: Sequence[Path],
        ask: Callable[[Sequence[Path], Broken], Sequence[Any]],
        csv: Path | None,
        as_json: bool,
        *written: Path | None,
    ) -> None:
        """Call `ask` on all images that `paths` name, and output its answers; `written` is what it wrote besides.
        Where no file could be read, nothing is written.

        Raises ReskerasError (status 1) when a file could not be read, after the others were output.
        """
        with image_files(paths, bool(self.of_frames)) as files:
            broken = Broken(files)
            found = [replace(each, path=files.name(each.path)) for each in ask(files.paths, broken)]
        if csv and found:
            more = self.of_frames if any(isinstance(each, Sequence) for each in found) else ()
            rows = (row for each in singles(found) for row in self.rows(each))
            write_csv(csv, chain([(*self.titles, *more)], rows))
        if as_json:
            emit_json_list(broken.told(found))
        elif found and csv != STDOUT:
            self.echo(found)
        if found and not as_json and csv != STDOUT:
            for path in filter(None, (*written, csv)):
                echo(f"written    {path}")
        broken.finish()
