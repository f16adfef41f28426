"""Paths on the command line: of this machine, and, where a command writes, refused before the work and not after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from reskeras.files import check_place, local_path

STDOUT = Path("/dev/stdout")


class LocalPath(click.Path):
    """A path of this machine; an address such as gs://bucket/run is refused by the option's name."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click does, once the value is known to be no address."""
        name = (param.opts[-1].lstrip("-") if isinstance(param, click.Option) else param.name) if param else "path"
        local_path(value, name)
        return super().convert(value, param, ctx)


class Written(LocalPath):
    """The path of a file or a folder that the command makes; `-`, where it may be, is STDOUT."""

    def __init__(self, **limits: Any):
        super().__init__(path_type=Path, **limits)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path; ReskerasError (status 1) when the system lets nobody write there."""
        if self.allow_dash and str(value) == "-":
            return STDOUT
        path = super().convert(value, param, ctx)
        if ctx is None or not ctx.resilient_parsing:  # completion writes nothing
            check_place(path)
        return path


csv_option = click.option(
    "--csv", type=Written(dir_okay=False, allow_dash=True), metavar="FILE",
    help="Write what is found as CSV too, with the names of the files; - is standard output, for nothing else then.")


def with_local_paths(command: click.Command) -> click.Command:
    """`command`, whose every path is a `LocalPath`: by the group, so that no command has to think of it."""
    for param in command.params:
        if isinstance(param.type, click.Path) and not isinstance(param.type, LocalPath):
            settings = vars(param.type)
            param.type = LocalPath()
            vars(param.type).update(settings)
    return command
