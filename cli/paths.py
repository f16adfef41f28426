"""Paths on the command line, which may be addresses, and output paths checked before the work starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from reskeras.addresses import is_address
from reskeras.files import check_folder, check_place, check_suffix, place_of

STDOUT = Path("/dev/stdout")


class PathOrAddress(click.Path):
    """A path of this machine; for an address such as gs://bucket/run, the path that stands for it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As click does; ReskerasError with the option's name for an address that cannot be one of a remote folder."""
        name = (param.opts[-1].lstrip("-") if isinstance(param, click.Option) else param.name) if param else "path"
        return super().convert(place_of(value, name) if is_address(value) else value, param, ctx)


class Written(PathOrAddress):
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


data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="Folder of prepared TFDS data sets."
)
csv_option = click.option(
    "--csv",
    type=Written(dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Also write the results as CSV, with file names; - prints only the CSV, on standard output.",
)


def check_picture(path: Path | None, flag: str, suffixes: Sequence[str] = (".png",)) -> None:
    """ReskerasError (status 2), before the work starts, for the `path` of a picture that cannot be drawn there."""
    if path is not None:
        check_suffix(path, flag, suffixes)
        check_folder(path, flag)


def with_addresses(command: click.Command) -> click.Command:
    """`command` with every path parameter made a `PathOrAddress`; the group does this for all commands."""
    for param in command.params:
        if isinstance(param.type, click.Path) and not isinstance(param.type, PathOrAddress):
            settings = vars(param.type)
            param.type = PathOrAddress()
            vars(param.type).update(settings)
    return command
