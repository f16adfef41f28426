"""The argument RUN and the flags that say which data a run is used with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]

run_argument = click.argument("run", type=click.Path(path_type=Path))


def data_options(command: Command) -> Command:
    """`--data` and `--data-dir`, which default to what the run was trained on."""
    command = click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR",
                           help="Where TFDS sets are prepared.")(command)
    return click.option("--data", metavar="SOURCE", help="Other data with the same classes.")(command)
