"""Paths on the command line: local ones only, and output paths checked before the work starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from reskeras.files import check_place, local_path

STDOUT = Path("/dev/stdout")


class LocalPath(click.Path):
    """A local path; a URL such as gs://bucket/run is refused, with the option's name."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click does, after refusing URLs."""
        name = (param.opts[-1].lstrip("-") if isinstance(param, click.Option) else param.name) if param else "path"
        local_path(value, name)
        return super().convert(value, param, ctx)


class Written(LocalPath):
    """The path of a file or folder that the command writes; `-`, where allowed, is STDOUT."""

    def __init__(self, **limits: Any):
        super().__init__(path_type=Path, **limits)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; ReskerasError (status 1) when it cannot be written."""
        if self.allow_dash and str(value) == "-":
            return STDOUT
        path = super().convert(value, param, ctx)
        if ctx is None or not ctx.resilient_parsing:  # completion writes nothing
            check_place(path)
        return path


csv_option = click.option(
    "--csv",
    type=Written(dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Also write the results as CSV, with file names; - prints only the CSV, on standard output.",
)


def with_local_paths(command: click.Command) -> click.Command:
    """`command` with every path parameter made a `LocalPath`; the group does this for all commands."""
    for param in command.params:
        if isinstance(param.type, click.Path) and not isinstance(param.type, LocalPath):
            settings = vars(param.type)
            param.type = LocalPath()
            vars(param.type).update(settings)
    return command
