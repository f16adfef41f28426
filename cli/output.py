"""Output of commands, made safe for terminals: lines, facts, JSON, spinners; abbreviated numbers."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unicodedata import category, east_asian_width

import click

from reskeras.addresses import named
from reskeras.printable import printable
from reskeras.strict_json import json_list, to_json
from reskeras.verbosity import Verbosity, verbosity

GAP = "  "
PROSE = 110  # widest line of running text
NARROWEST = 24  # columns that a remark needs beside its figure; with fewer it moves below


def shape_text(shape: Sequence[int]) -> str:
    """`56x56x256`."""
    return "x".join(map(str, shape))


def on_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


@dataclass(frozen=True)
class Styled:
    """Text in bold, dim or a colour on a terminal."""

    text: str
    bold: bool = False
    dim: bool = False
    colour: str | None = None


def echo(*parts: str | Styled, err: bool = False, nl: bool = True) -> None:
    """Print a result or an error, on stderr if `err`. Everything that commands print goes through here.

    Control characters in what comes from outside (names of classes, layers and files, a server's answer) are shown as
    escapes, so that they cannot steer the terminal; line breaks too, so that they cannot pass for lines of ours.
    """
    _put(parts, "\t", err, nl)


def echo_text(text: str, err: bool = False, nl: bool = True) -> None:
    """The same for text of several lines, such as a YAML file."""
    _put([text], "\n\t", err, nl)


def _put(parts: Sequence[str | Styled], keep: str, err: bool, nl: bool) -> None:
    styled = (part if isinstance(part, Styled) else Styled(part) for part in parts)
    texts = [(printable(part.text, keep), part) for part in styled]
    click.echo(
        "".join(
            click.style(text, fg=part.colour, bold=part.bold or None, dim=part.dim or None)
            if part.bold or part.dim or part.colour
            else text
            for text, part in texts
        ),
        err=err,
        nl=nl,
    )


def note(*parts: str | Styled, err: bool = False) -> None:
    """Print what is useful but not a result: progress, hints. Omitted with --quiet."""
    if verbosity() > Verbosity.QUIET:
        echo(*parts, err=err)


def prose(text: str, indent: str = "") -> None:
    """Print running text, wrapped to fit the terminal."""
    echo_text(click.wrap_text(text, min(columns_here(), PROSE), indent, indent))


def sentence(text: str, indent: str = "") -> None:
    """Print a line that may be long: wrapped at words on a terminal, a single line in a pipe."""
    for line in terminal_lines(printable(text), indent):
        echo(line)


def terminal_lines(text: str, indent: str = "") -> list[str]:
    if not on_terminal():
        return [indent + text]
    return click.wrap_text(text, max(columns_here(), NARROWEST), indent, indent).split("\n")


def command_line(*words: object) -> str:
    """A command line quoted for a shell."""
    return shlex.join(named(str(word)) for word in words)


def columns_here() -> int:
    """Width of the terminal, or COLUMNS; in a pipe PROSE."""
    return shutil.get_terminal_size((PROSE, 24)).columns


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
result_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON; progress goes to stderr."
)


def emit_json(data: Any) -> None:
    """Print one JSON document on stdout, in ASCII; numbers that are not finite become null."""
    click.echo(named(to_json(data, indent=2)))


def emit_json_list(entries: Iterable[Any]) -> None:
    """Print a list as `emit_json` would, of which one entry at a time is held."""
    for part in json_list(entries, indent=2):
        click.echo(named(part), nl=False)


def heading(text: str, aside: str = "") -> None:
    """Print a heading, bold on a terminal, with `aside` after it."""
    *above, text = terminal_lines(printable(text))
    for line in above:
        echo(Styled(line, bold=True))
    first, *below = remark_lines(printable(aside), text) if aside else [""]
    echo(Styled(text, bold=True), Styled(first, dim=True))
    for rest in below:
        echo(Styled(rest, dim=True))


def facts(pairs: Sequence[tuple[str, str, str]]) -> None:
    """Print aligned lines of a label, a figure and a remark; on a terminal long remarks are wrapped below."""
    pairs = [(printable(label), printable(figure), printable(remark)) for label, figure, remark in pairs]
    labels, figures = (max((cell_len(pair[side]) for pair in pairs), default=0) for side in (0, 1))
    for label, figure, remark in pairs:
        line = f"{padded(label, labels)}{GAP}{padded(figure, figures, right=True)}".rstrip()
        first, *below = remark_lines(remark, line) if remark else [""]
        echo(line, Styled(first, dim=True))
        for rest in below:
            echo(Styled(rest, dim=True))


def remark_lines(text: str, line: str) -> list[str]:
    """The text to print after `line`, and wrapped lines to print below it; in a pipe there are none below."""
    if not on_terminal():
        return [GAP + text]
    start, width = cell_len(line) + len(GAP), columns_here()
    if start + cell_len(text) <= width:
        return [GAP + text]
    indent = " " * (start if width - start >= NARROWEST else 4)
    first, *rest = click.wrap_text(text, max(width, NARROWEST), indent, indent).split("\n")
    return [GAP + first.lstrip(), *rest] if len(indent) == start else ["", first, *rest]


def cell_len(text: str) -> int:
    """Width of a text in terminal columns: ideographs take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        2 if east_asian_width(each) in "WF" else 0 if category(each) in ("Mn", "Me", "Cf") else 1 for each in text
    )


def padded(text: str, width: int, right: bool = False) -> str:
    spaces = " " * (width - cell_len(text))
    return spaces + text if right else text + spaces


@contextmanager
def working(text: str) -> Iterator[None]:
    """A spinner with `text` on a terminal while the block runs; nothing in a pipe."""
    if not on_terminal() or verbosity() == Verbosity.QUIET:
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console().status(Text(printable(text))):
        yield


@contextmanager
def progress(text: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with `text` on a terminal, advanced by calling (done, total); nothing in a pipe."""
    if not on_terminal() or verbosity() == Verbosity.QUIET:
        yield lambda done, of: None
        return
    from rich.console import Console
    from rich.errors import LiveError
    from rich.markup import escape
    from rich.progress import Progress

    with ExitStack() as stack:
        # this very stdout, although a library that prints may be silenced by another meanwhile
        bar = Progress(console=Console(file=sys.stdout), transient=True)
        try:
            stack.enter_context(bar)
        except LiveError:  # within `working`, on older versions of rich
            yield lambda done, of: None
            return
        task = bar.add_task(escape(printable(text)), total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
