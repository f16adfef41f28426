"""The blocks of a Markdown page, the commands in them, and the code spans between them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent, indent
from typing import Any

EXACT, TIMED, TRAINED = "exact", "timed", "trained"
CONSOLE, SHELL, PYTHON, YAML, CHECK = "console", "shell", "python", "yaml", "check"
LANGUAGES = {"": SHELL, "sh": SHELL, "bash": SHELL, "shell": SHELL, "yml": YAML, "py": PYTHON}
SKIPPED = "not run"
ERROR = "reskeras: "  # how errors begin, and nothing else does
FENCE = re.compile(r"^( *)(`{3,}|~{3,})[ \t]*\{?[ \t]*\.?([\w-]*)[^\n]*\n", re.MULTILINE)
COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
MARKS = re.compile(r"\s*example:([^\n]*)(.*)", re.DOTALL)
FILE = re.compile(r"# (\S+\.(?:yaml|yml|py))\s*(?:\n|$)")
SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)


class PageError(Exception):
    """A mistake in the Markdown itself, with the line."""


@dataclass(frozen=True)
class Step:
    """A command of a block and, in a console, the lines in which it is typed and those shown as its output."""

    command: str
    typed: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()

    @property
    def fails(self) -> bool:
        """Whether an error is shown."""
        return any(line.startswith(ERROR) for line in self.shown)


@dataclass(frozen=True)
class Block:
    """A fenced block that is an example, or a hidden check. `text` is unindented; `begin` and `end` are its offsets in
    the page."""

    line: int
    language: str
    text: str
    begin: int
    end: int
    indent: str = ""
    slow: bool = False
    tolerance: str = EXACT
    skipped: str = ""  # the reason

    @property
    def file(self) -> str | None:
        """Name of the file that the block is, by its first line."""
        found = FILE.match(self.text) if self.language in (YAML, PYTHON) else None
        return found[1] if found else None

    @property
    def steps(self) -> list[Step]:
        """Commands of a console or shell block; PageError for a console without any."""
        if self.language == SHELL:
            return [Step(command) for command in _logical_lines(self.text) if not command.startswith("#")]
        if self.language != CONSOLE:
            return []
        lines = self.text.splitlines()
        starts = [place for place, line in enumerate(lines) if line.startswith("$ ")]
        if starts[:1] != [0]:
            raise PageError(f"line {self.line}: a console block begins with a command, `$ ...`")
        return [_step(lines[start:end]) for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]

    def indented(self, text: str) -> str:
        """`text` as it stands in the page."""
        return indent(text, self.indent)


def _step(lines: list[str]) -> Step:
    typed = next((place for place, line in enumerate(lines, 1) if not line.endswith("\\")), len(lines))
    first, *more = (line.removesuffix("\\").strip() for line in lines[:typed])
    command = " ".join([first.removeprefix("$ "), *(line.removeprefix(">").strip() for line in more)])
    shown = "\n".join(line.rstrip() for line in lines[typed:]).rstrip()
    return Step(command, tuple(lines[:typed]), tuple(shown.splitlines()))


def _logical_lines(text: str) -> Iterator[str]:
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    yield from (line.strip() for line in joined.splitlines() if line.strip())


def blocks_of(page: str) -> list[Block]:
    """The examples of a page, in order; PageError for a comment that is no mark, or that no example follows."""
    found, marks, after = [], None, 0
    for piece in _pieces(page):
        line = page.count("\n", 0, piece.begin) + 1
        if marks is not None and page[after : piece.start].strip():
            raise PageError(f"line {line}: no block follows the comment before")
        text, language = page[piece.begin : piece.end], LANGUAGES.get(piece.language, piece.language)
        if piece.comment:
            if said := MARKS.fullmatch(text):
                marks, after = _read(said[1], line), piece.close
                if marks.pop("check", False):
                    found.append(Block(line, CHECK, dedent(said[2]), piece.begin, piece.end, **marks))
                    marks = None
                elif said[2].strip():
                    raise PageError(f"line {line}: more than a line, and not a check")
        elif language in (CONSOLE, SHELL, PYTHON, YAML):
            found.append(Block(line, language, dedent(text), piece.begin, piece.end, piece.indent, **marks or {}))
            marks = None
        elif marks is not None:
            raise PageError(f"line {line}: the block after the comment is no example")
    if marks is not None:
        raise PageError("no block follows the last comment")
    return found


def _read(words: str, number: int) -> dict[str, Any]:
    """Fields of a Block that the words of a comment set."""
    said: dict[str, Any] = {}
    rest = words.strip()
    while rest:
        word, _, rest = (part.strip() for part in rest.partition(","))
        if word == SKIPPED:
            if not rest:
                raise PageError(f"line {number}: not run without a reason: <!-- example: not run, REASON -->")
            return said | {"skipped": rest}
        if word in (TIMED, TRAINED):
            said["tolerance"] = word
        elif word == "slow":
            said["slow"] = True
        elif word == "check":
            said["check"] = True
        else:
            raise PageError(f"line {number}: {word!r} is not one of slow, timed, trained, check, not run")
    return said


@dataclass(frozen=True)
class _Piece:
    """A fence or a comment: where it starts, its content begins and ends, and where it closes itself; language and
    indentation of a fence."""

    start: int
    begin: int
    end: int
    close: int
    comment: bool = False
    language: str = ""
    indent: str = ""


def _pieces(page: str) -> Iterator[_Piece]:
    """The fences of a page, and the comments outside them."""
    place = 0
    while True:
        fence, comment = FENCE.search(page, place), COMMENT.search(page, place)
        if comment and (fence is None or comment.start() < fence.start()):
            yield _Piece(comment.start(), *comment.span(1), comment.end(), comment=True)
            place = comment.end()
        elif fence:
            close = re.compile(rf"^ *{fence[2]}[`~]*[ \t]*$", re.MULTILINE).search(page, fence.end())
            end, place = close.span() if close else (len(page), len(page))
            yield _Piece(fence.start(), fence.end(), end, place, language=fence[3], indent=fence[1])
        else:
            return


def spans_of(page: str) -> Iterator[tuple[int, str]]:
    """(line, text) of each code span of the running text; line breaks in it are spaces."""
    place, prose = 0, []
    for piece in _pieces(page):
        prose += [page[place : piece.start], "\n" * page.count("\n", piece.start, piece.close)]
        place = piece.close
    text = "".join([*prose, page[place:]])
    for paragraph in re.finditer(r"(?:[^\n]*\S[^\n]*(?:\n|$))+", text):
        for span in SPAN.finditer(paragraph[0]):
            yield text.count("\n", 0, paragraph.start() + span.start()) + 1, " ".join(span[2].split())
