"""Markdown of text from outside: whatever it is, it shows as itself, and does nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from reskeras.printable import printable
from reskeras.report.sections import Table

LONGEST = 120  # characters of a text
MOST_PROSE = 600  # of a paragraph
# what no dialect of Markdown takes for anything: words, numbers, and signs that mean nothing inside a line. A dot or a
# colon before a letter could make an address or an emoji of it
_PLAIN = re.compile(r"(?:[\w ,;()/%×]|[.:](?![^\W\d])|(?<=[\w (])[-+](?![-+]))*")
_BEGINS_A_BLOCK = re.compile(r"\s|[-+]|\d+[.)](?:\s|\Z)")


def text(value: object) -> str:
    """`value` on one line: as it is if that is plain, else as code, in which Markdown, HTML and formulas are inert."""
    shown = printable(str(value))
    shown = shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"
    if not shown.strip():
        return ""
    plain = _PLAIN.fullmatch(shown) and "_" not in shown and "//" not in shown and not _BEGINS_A_BLOCK.match(shown)
    return shown if plain and not shown.endswith(" ") else code(shown)


def code(value: str) -> str:
    """A code span that also holds in a cell of a table; `value` has no control characters."""
    if "|" in value:  # which ends a cell, in code too
        escaped = (letter if letter.isalnum() or letter == " " else f"&#{ord(letter)};" for letter in value)
        return f"<code>{''.join(escaped)}</code>"
    fence = "`" * (_longest_run(value) + 1)
    space = " " if value[0] in "` " or value[-1] in "` " else ""
    return f"{fence}{space}{value}{space}{fence}"


def block(lines: str, language: str) -> str:
    """A fenced block of code."""
    fence = "`" * max(3, _longest_run(lines) + 1)
    return f"{fence}{language}\n{lines.rstrip()}\n{fence}\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table whose cells are texts; columns of figures are on the right."""
    lines = [[text(cell) for cell in row] for row in rows]
    figures = [
        bool(lines)
        and all(re.fullmatch(r"(?:[\d.,+-]+(?:e[+-]\d+)?%?(?: to [\d.,]+%?)?)?", line[place]) for line in lines)
        for place in range(len(columns))
    ]
    rules = ["---:" if right else "---" for right in figures]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in ([text(each) for each in columns], rules, *lines))


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Names and values as a list."""
    told = ((text(name), str(value)) for name, value in pairs)
    return listed(f"{name}: {text(value) if len(value) <= LONGEST else prose(value)}" for name, value in told)


def section(shown: Table, level: int = 2) -> str:
    """A table of a page with its title, a heading of that level, its caption and its notes."""
    body = [table(shown.columns, shown.rows), prose(shown.caption), listed(map(prose, shown.notes))]
    return "\n".join([f"{'#' * level} {text(shown.title)}\n", *filter(None, body)])


def prose(words: str) -> str:
    """A paragraph of words from outside, each of them as `text`."""
    shown = " ".join(map(text, words[:MOST_PROSE].split()))
    return f"{shown}{'…' if len(words) > MOST_PROSE else ''}\n" if shown else ""


def listed(sentences: Iterable[str]) -> str:
    """A list of paragraphs."""
    return "".join(f"- {each.rstrip()}\n" for each in sentences)


def _longest_run(value: str) -> int:
    return max(map(len, re.findall("`+", value)), default=0)
