"""A page of the site as Markdown, and Markdown as the written pages use it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from posixpath import dirname, relpath

CODE = re.compile(r"(`+[^`]+`+)")
OPTION = re.compile(r"(?<![\w`-])(--[a-z][a-z-]*(?: [\w.]+=[\w.,]*\w)?)")
PAPER = re.compile(r"(?<![\w/`\[])arXiv:(\d{4}\.\d{4,5})(?![^\[\]]*\]\()")
FENCE = re.compile(r"^ {0,3}(```|~~~)")


@dataclass(frozen=True)
class Page:
    """One page: its place among the sources (`commands/train.md`), its title in the navigation, its Markdown, and the
    file of the repository that is edited to change it. `summary` is one line for search engines and `llms.txt`, `group`
    its group in the navigation, `wide` whether it needs the room of the table of contents."""

    path: str
    title: str
    text: str
    source: str
    summary: str = ""
    group: str = ""
    wide: bool = False


def address(here: str, there: str, anchor: str = "") -> str:
    """The relative address of the file `there` for a link in the file `here`."""
    path = "" if here == there else relpath(there, dirname(here) or ".")
    return path + (f"#{anchor}" if anchor else "")


def prose(text: str) -> str:
    """Plain text as Markdown: backticks mean code, options are code, papers are links, all else is literal."""
    parts = CODE.split(text)
    return "".join(part if number % 2 else _literal(part) for number, part in enumerate(parts))


def _literal(text: str) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = re.sub(r"([\\*\[\]]|(?<!\w)_|_(?!\w)|(?m:^\s*)[-+#](?= ))", _escaped, escaped)
    escaped = re.sub(r"(?m)^(\s*\d+)\. ", r"\1&#46; ", escaped)
    return PAPER.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", OPTION.sub(r"`\1`", escaped))


def _escaped(found: re.Match[str]) -> str:
    return f"{found[0][:-1]}\\{found[0][-1]}"


def code(text: str) -> str:
    """Inline code, also in cells of tables."""
    if "`" in text or "|" in text:
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;").replace("`", "&#96;")
        return f"<code>{escaped}</code>"
    return f"`{text}`"


def block(text: str, language: str = "") -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```"


def picture(words: str, path: str) -> str:
    """A picture with its description; it leads to itself, as a phone shows a plot too small to be read."""
    return f"[![{words}]({path}){{loading=lazy}}]({path})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[str] = (), kind: str = "") -> str:
    """A table; the columns named in `right` are aligned to the right. One of the kind `sortable` gets buttons and a
    filter; in one of `fields` the cells of a row stand below each other on a narrow screen."""
    rules = ["---:" if name in set(right) else "---" for name in head]
    lines = [_row(head), _row(rules), *(_row([_cell(cell) for cell in row]) for row in rows)]
    drawn = "\n".join(lines)
    return f'<div class="{kind}" markdown>\n\n{drawn}\n\n</div>' if kind else drawn


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "&#124;")


def heading_of(text: str) -> str:
    """The first heading, without its markup; "" if there is none."""
    found = re.search(r"^# +(.+)$", text, flags=re.MULTILINE)
    return re.sub(r"[`*]", "", found[1]) if found else ""


def front_matter(page: Page) -> str:
    """What the templates need to know of a page."""
    known = {"source": page.source, "description": page.summary, "heading": heading_of(page.text)}
    # a JSON string is a YAML string
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in known.items() if value]
    if page.wide:
        lines.append("hide: [toc]")
    return "---\n" + "\n".join(lines) + f"\n---\n\n{page.text.strip()}\n"


def outside_code(text: str, change: re.Pattern[str], by: str | Callable[[re.Match[str]], str]) -> str:
    """`text` with matches of `change` replaced, but in no block or span of code."""
    lines, fenced = [], False
    for line in text.split("\n"):
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            parts = CODE.split(line)
            line = "".join(part if number % 2 else change.sub(by, part) for number, part in enumerate(parts))
        lines.append(line)
    return "\n".join(lines)
