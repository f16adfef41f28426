"""The argument RUN, the flags that say what a run is used with or asked instead, and flags of several numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import click

from reskeras.errors import ReskerasError

from .completion import complete_data

Command = Callable[..., Any]

run_argument = click.argument("run", type=click.Path(path_type=Path))


def data_options(command: Command) -> Command:
    """`--data` and `--data-dir`, which default to what the run was trained on."""
    command = click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR",
                           help="Where TFDS sets are prepared.")(command)
    return click.option("--data", metavar="SOURCE", shell_complete=complete_data,
                        help="Other data with the same classes.")(command)


def served_options(command: Command) -> Command:
    """`--url`, `--timeout` and `--retries`, as one parameter `served`: a `reskeras.client.Client`, or None."""

    @wraps(command)
    def with_client(url: str | None, timeout: float, retries: int, **parameters: Any) -> Any:
        if url is None:
            return command(served=None, **parameters)
        from reskeras.client import Client

        return command(served=Client(url, timeout, retries), **parameters)

    for decorator in (
        click.option("--retries", type=click.IntRange(0, 20), default=3, show_default=True, metavar="N",
                     help="When --url is busy or cannot be reached."),
        click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True,
                     metavar="SECONDS", help="That each answer of --url may take."),
        click.option("--url", metavar="URL", help="Ask a served model instead of a run's."),
    ):
        with_client = decorator(with_client)
    return with_client


def run_and_images(paths: Sequence[Path]) -> tuple[Path, Sequence[Path]]:
    """The run and the image files of `RUN IMAGE...`."""
    if len(paths) < 2:
        raise click.UsageError("say a run and at least one image (RUN IMAGE...), such as: saved_models/photos cat.jpg")
    return paths[0], paths[1:]


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
