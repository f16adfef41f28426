"""Output of predictions on image files: printed, as JSON or as CSV, with the files that could not be read."""

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
    """The format of answers, dataclasses with a `path`: CSV `rows` under `titles`, and `echo` to print them."""

    titles: tuple[str, ...]
    rows: Callable[[Any], list[list[Any]]]
    echo: Callable[[Sequence[Any]], None]

    def tell(
        self,
        paths: Sequence[Path],
        ask: Callable[[Sequence[Path], Broken], Sequence[Any]],
        csv: Path | None,
        as_json: bool,
        out: Path | None = None,
    ) -> None:
        """Call `ask` on all images that `paths` name, and output its answers; `out` is a folder that it wrote besides.

        Raises ReskerasError (status 1) when a file could not be read, after the others were output.
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
