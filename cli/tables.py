"""Tables: rich ones fitted to a terminal, plain aligned lines in a pipe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reskeras.printable import printable

from .output import GAP, Styled, cell_len, columns_here, echo, note, on_terminal, padded, remark_lines, terminal_lines

BETWEEN = 3  # spaces between columns of a table on a terminal
TITLE_PARTS = re.compile(r"[^\s-]+-?")  # parts between which a title may be broken


@dataclass(frozen=True)
class Column:
    """A column of a table. On a narrow terminal `spare` columns are left out, the highest `spare` first."""

    title: str
    right: bool = False
    spare: int = 0


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table. Cells may be untrusted text; each is a single line, or folded to fit the terminal."""
    rows = [[printable(cell) for cell in row] for row in rows]
    columns = [replace(column, title=printable(column.title)) for column in columns]
    if on_terminal():
        _rich_table(columns, rows)
        return
    lines = [[column.title for column in columns], *rows]
    widths = [max(cell_len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        cells = (padded(cell, width, column.right) for cell, width, column in zip(line, widths, columns, strict=True))
        echo(GAP.join(cells).rstrip())


def _rich_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = columns_here()
    lines = [[column.title for column in columns], *rows]
    shown = _that_fit(columns, lines, width)
    widths = _widths(columns, lines, shown, width)
    if widths is None:
        _records(columns, rows, shown)
    else:
        grid = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
        for index, wide in zip(shown, widths, strict=True):
            grid.add_column(
                Text(_broken(columns[index].title, wide)),
                width=wide,
                overflow="fold",
                justify="right" if columns[index].right else "left",
                style="cyan" if index == 0 else "",
            )
        for row in rows:
            grid.add_row(*(Text(row[index]) for index in shown))
        Console(highlight=False, width=width).print(grid)
    if hidden := [column.title for index, column in enumerate(columns) if index not in shown]:
        for line in terminal_lines(f"left out to fit {width} columns: {', '.join(hidden)}"):
            note(Styled(line, dim=True))


def _that_fit(columns: Sequence[Column], lines: Sequence[Sequence[str]], width: int) -> list[int]:
    """Indexes of the columns to show: spare ones are dropped, the highest first, until the lines fit."""
    shown = list(range(len(columns)))
    widths = [max(cell_len(line[index]) for line in lines) + BETWEEN for index in shown]
    for index in sorted((index for index in shown if columns[index].spare), key=lambda index: -columns[index].spare):
        if sum(widths[kept] for kept in shown) - BETWEEN <= width:
            break
        shown.remove(index)
    return shown


def _widths(
    columns: Sequence[Column], lines: Sequence[Sequence[str]], shown: Sequence[int], width: int
) -> list[int] | None:
    """Widths of the columns shown that break no figure and no word; None where there is no room for that."""
    titles, *rows = lines
    least, natural = [], []
    for index in shown:
        cells = [row[index] for row in rows]
        whole = cells if columns[index].right else [word for cell in cells for word in cell.split()]
        least.append(max(map(cell_len, [*whole, *TITLE_PARTS.findall(titles[index])]), default=1))
        natural.append(max(map(cell_len, [*cells, titles[index]])))
    left = width - BETWEEN * (len(shown) - 1) - sum(least)
    if left < 0:
        return None
    wanted = [most - few for most, few in zip(natural, least, strict=True)]
    share = min(1.0, left / max(sum(wanted), 1))
    return [few + int(want * share) for few, want in zip(least, wanted, strict=True)]


def _broken(title: str, width: int) -> str:
    """A title in lines of at most `width`, broken at spaces and after hyphens."""
    lines = [""]
    for part in TITLE_PARTS.findall(title):
        joined = lines[-1] + ("" if not lines[-1] or lines[-1].endswith("-") else " ") + part
        if lines[-1] and cell_len(joined) > width:
            lines.append(part)
        else:
            lines[-1] = joined
    return "\n".join(lines)


def _records(columns: Sequence[Column], rows: Sequence[Sequence[str]], shown: Sequence[int]) -> None:
    """Print a table on a terminal too narrow for it: each row's first cell, and below it a line for each other cell."""
    first, *others = shown
    labels = max((cell_len(columns[index].title) for index in others), default=0)
    for row in rows:
        for line in terminal_lines(row[first]):
            echo(Styled(line, colour="cyan"))
        for index in others:
            if row[index]:
                label = f"{GAP}{padded(columns[index].title, labels)}"
                start, *below = remark_lines(row[index], label)
                echo(label, start)
                for line in below:
                    echo(line)
