"""The argument RUN, the flags for a run's data or a served model instead, and flags of several numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import wraps
from math import inf
from pathlib import Path
from typing import Any

import click

from reskeras.errors import ReskerasError, failure
from reskeras.image_files import ImageFiles
from reskeras.printable import counted
from reskeras.walk import is_video

from .completion import complete_data
from .output import echo, note
from .paths import data_dir_option

Command = Callable[..., Any]

run_argument = click.argument("run", type=click.Path(path_type=Path))


def data_options(command: Command) -> Command:
    """`--data` and `--data-dir`, which default to the run's training data."""
    command = data_dir_option(command)
    return click.option(
        "--data", metavar="SOURCE", shell_complete=complete_data, help="Use other data with the same classes."
    )(command)


class Batch(click.ParamType):
    """A number of images, or None for `free`."""

    name = "batch"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """As click has it."""
        if value is None or isinstance(value, int):
            return value
        if value == "free":
            return None
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number of images nor free", param, ctx)


def batch_option(command: Command) -> Command:
    """`--batch`, None for any number of images."""
    return click.option(
        "--batch",
        type=Batch(),
        default="free",
        show_default=True,
        metavar="N|free",
        help="Number of images that .tflite, ONNX and OpenVINO files take at a time. LiteRT.js and the delegates for "
        "GPUs and NPUs refuse files with a free one: give 1.",
    )(command)


def kinds_option(help: str) -> Callable[[Command], Command]:
    """`--to`, kinds of artefacts, as `kinds`."""
    return click.option("--to", "kinds", multiple=True, metavar="KIND", help=help)


def images_option(usual: int) -> Callable[[Command], Command]:
    """`--images`, how many test images artefacts are verified on; the `usual` number where none is given."""
    return click.option(
        "--images",
        type=int,
        default=usual,
        show_default=True,
        metavar="N",
        help="Number of test images, at most, that artefacts are verified on.",
    )


def served_options(command: Command) -> Command:
    """`--url`, `--timeout` and `--retries`, as one parameter `served`: a `reskeras.client.Client`, or None."""

    @wraps(command)
    def with_client(url: str | None, timeout: float, retries: int, **parameters: Any) -> Any:
        if url is None:
            return command(served=None, **parameters)
        from reskeras.client import Client

        return command(served=Client(url, timeout, retries), **parameters)

    for decorator in (
        click.option(
            "--retries",
            type=click.IntRange(0, 20),
            default=3,
            show_default=True,
            metavar="N",
            help="Number of retries when --url is busy or cannot be reached.",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            default=30.0,
            show_default=True,
            metavar="SECONDS",
            help="Time limit for each answer from --url.",
        ),
        click.option("--url", metavar="URL", help="Use a served model instead of a run."),
    ):
        with_client = decorator(with_client)
    return with_client


class Broken:
    """Files that could not be read: each is reported on stderr when it is met, and any makes the exit status 1."""

    def __init__(self, found: ImageFiles):
        self.found = found
        self.errors: dict[str, str] = {}
        for line in found.notes:
            note(f"note: {line}", err=True)

    def __call__(self, path: str, error: ReskerasError) -> None:
        message = str(error)
        for kept, name in self.found.names.items():
            message = message.replace(kept, name)
        self.errors[path] = message
        echo(f"reskeras: {message}", err=True)

    def told(self, results: Iterable[Any]) -> Iterator[dict[str, Any]]:
        """The entries for each file, in order: its result, a dataclass, or those of a sequence of them, or its path and
        the `error`."""
        of_files = iter(results)
        for path in map(str, self.found.paths):
            if path in self.errors:
                yield {"path": self.found.name(path), "error": self.errors[path]}
            else:
                yield from map(asdict, singles([next(of_files)]))

    def finish(self) -> None:
        """Raise a `failure` with their number, if there are any."""
        if self.errors:
            count = sum(str(path) in self.errors for path in self.found.paths)
            of = counted(len(self.found.paths), "file" if any(map(is_video, self.found.paths)) else "image")
            raise failure(f"image: {count:,} of {of} could not be read")


def singles(results: Iterable[Any]) -> Iterator[Any]:
    """The results, and those in results that are sequences of them, such as the frames of a video."""
    for each in results:
        yield from each if isinstance(each, Sequence) else [each]


def run_and_images(paths: tuple[Path, ...]) -> tuple[Path, tuple[Path, ...]]:
    """The run and the image files of `RUN IMAGE...`."""
    if len(paths) < 2:
        raise click.UsageError("give a run and at least one image (RUN IMAGE...), such as: saved_models/photos cat.jpg")
    return paths[0], paths[1:]


def numbers_by_name(flag: str, texts: Sequence[str], example: str) -> dict[str, float]:
    """Values of a repeatable `NAME=NUMBER` flag as a mapping."""
    found = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise ReskerasError(f"{flag}: {text!r} is not of the form NAME=NUMBER, such as {example!r}") from None
        if not 0 <= found[name] < inf:
            raise ReskerasError(f"{flag}: {text!r}: the number should be finite and not negative")
    return found


def listed_numbers(flag: str, text: str | None, kind: type, example: str) -> tuple[Any, ...]:
    """`1,2,3` as numbers of `kind`, int or float; none for None."""
    try:
        return tuple(kind(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ReskerasError(f"{flag}: {text!r}: should be numbers such as {example}") from None
