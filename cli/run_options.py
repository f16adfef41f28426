"""The argument RUN, the flags that say which data a run is used with, and flags of several numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from reskeras.errors import ReskerasError

Command = Callable[..., Any]

run_argument = click.argument("run", type=click.Path(path_type=Path))


def data_options(command: Command) -> Command:
    """`--data` and `--data-dir`, which default to what the run was trained on."""
    command = click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR",
                           help="Where TFDS sets are prepared.")(command)
    return click.option("--data", metavar="SOURCE", help="Other data with the same classes.")(command)


def numbers_by_name(flag: str, texts: Sequence[str], example: str) -> dict[str, float]:
    """`NAME=NUMBER`, given any number of times, as a mapping."""
    found = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise ReskerasError(f"{flag}: {text!r} is not of the form NAME=NUMBER, such as {example!r}") from None
    return found


def listed_numbers(flag: str, text: str | None, kind: type, example: str) -> tuple[Any, ...]:
    """`1,2,3` as numbers of a kind, int or float; none of None."""
    try:
        return tuple(kind(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ReskerasError(f"{flag}: {text!r}: should be numbers such as {example}") from None
