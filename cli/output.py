"""What commands print: rich tables on a terminal, plain aligned lines in a pipe, JSON; numbers in short."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

GAP = "  "
UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
BYTE_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


@dataclass(frozen=True)
class Column:
    """A column of a table. `spare` columns are left out of a narrow terminal, the highest first."""

    title: str
    right: bool = False
    spare: int = 0


def short(number: float) -> str:
    """Three significant figures with k, M, G, T or P, such as `25.6 M` and `3.86 G`."""
    for size, unit in UNITS:
        if number >= size * 0.9995:  # 999,600 is 1.00 M, not 1000 k
            return f"{_figures(number / size)} {unit}"
    return f"{number:g}"


def short_bytes(number: int) -> str:
    """Three significant figures with KiB, MiB or GiB."""
    for size, unit in BYTE_UNITS:
        if number >= size:
            return f"{_figures(number / size)} {unit}"
    return f"{number} B"


def shape_text(shape: Sequence[int]) -> str:
    """`56x56x256`."""
    return "x".join(map(str, shape))


def _figures(number: float) -> str:
    return f"{number:.{2 if number < 9.995 else 1 if number < 99.95 else 0}f}"


def on_terminal() -> bool:
    """Whether a person is reading stdout."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def emit_json(data: Any) -> None:
    """One JSON document on stdout, ASCII."""
    click.echo(json.dumps(data, indent=2))


def heading(text: str, aside: str = "") -> None:
    """A line that names what follows, bold on a terminal, with `aside` after it."""
    click.echo(click.style(text, bold=True) + (click.style(f"  {aside}", dim=True) if aside else ""))


def facts(pairs: Sequence[tuple[str, str, str]]) -> None:
    """Aligned lines of a label, a figure and a remark."""
    labels, figures = (max((len(pair[side]) for pair in pairs), default=0) for side in (0, 1))
    for label, figure, remark in pairs:
        line = f"{label:<{labels}}{GAP}{figure:>{figures}}".rstrip()
        click.echo(line + (click.style(f"{GAP}{remark}", dim=True) if remark else ""))


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    if on_terminal():
        _rich_table(columns, rows)
        return
    lines = [[column.title for column in columns], *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        cells = (cell.rjust(width) if column.right else cell.ljust(width)
                 for cell, width, column in zip(line, widths, columns, strict=True))
        click.echo(GAP.join(cells).rstrip())


def _rich_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    lines = [[column.title for column in columns], *rows]
    shown = _that_fit(columns, lines, console.width)
    grid = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for index in shown:
        grid.add_column(columns[index].title, justify="right" if columns[index].right else "left",
                        style="cyan" if index == 0 else "", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(row[index]) for index in shown))
    console.print(grid)
    if hidden := [column.title for index, column in enumerate(columns) if index not in shown]:
        click.echo(click.style(f"left out to fit {console.width} columns: {', '.join(hidden)}", dim=True))


def _that_fit(columns: Sequence[Column], lines: Sequence[Sequence[str]], width: int) -> list[int]:
    """Indexes of the columns to show: spare ones go, the most spare first, until the lines fit."""
    shown = list(range(len(columns)))
    widths = [max(len(line[index]) for line in lines) + len(GAP) + 1 for index in shown]
    for index in sorted((index for index in shown if columns[index].spare), key=lambda index: -columns[index].spare):
        if sum(widths[kept] for kept in shown) <= width:
            break
        shown.remove(index)
    return shown


@contextmanager
def working(text: str) -> Iterator[None]:
    """A spinner with `text` on a terminal while the block runs; nothing in a pipe."""
    if not on_terminal():
        yield
        return
    from rich.console import Console

    with Console().status(text):
        yield


@contextmanager
def progress(text: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with `text` on a terminal, moved by calling (done, of how many); nothing in a pipe."""
    if not on_terminal():
        yield lambda done, of: None
        return
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
