"""A page and its examples: what is wrong with them without running, a run of them, and the page rewritten after it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import unified_diff
from functools import cached_property
from pathlib import Path

from PIL import Image

from . import commands, documents
from .blocks import CHECK, CONSOLE, ERROR, PYTHON, SHELL, YAML, Block, PageError, Step, blocks_of, spans_of
from .inputs import InputError, provide
from .outputs import elided, matches
from .terminal import TIMED_OUT, Terminal

PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+\.(?:png|jpg|svg))\)")


def pages() -> list[Path]:
    """All pages, in order."""
    root = commands.ROOT
    return [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").glob("**/*.md"))]


@dataclass
class Ran:
    """What became of a block: what is wrong with it, and what each of its commands printed."""

    problem: str = ""
    printed: list[list[str]] = field(default_factory=list)


class Page:
    """The examples of a Markdown file, run in a folder below `terminal.root`; without a terminal none is run."""

    def __init__(self, path: Path, terminal: Terminal | None = None):
        self.path, self._terminal = path, terminal
        self.name = str(path.relative_to(commands.ROOT)) if path.is_relative_to(commands.ROOT) else path.name
        self.text = path.read_text(encoding="utf-8")
        self.ran: dict[int, Ran] = {}

    @property
    def terminal(self) -> Terminal:
        """Where the examples run."""
        if self._terminal is None:
            raise ValueError(f"{self.name} was opened without a terminal")
        return self._terminal

    @cached_property
    def blocks(self) -> list[Block]:
        """PageError for a mistake in a mark."""
        return blocks_of(self.text)

    def prose_problems(self) -> Iterator[str]:
        """What is wrong with the code spans of the running text."""
        for line, text in spans_of(self.text):
            if problem := commands.span_problem(text) or documents.span_problem(text):
                yield f"{self.name}, line {line}: `{text}`: {problem}"

    def run(self, block: Block) -> Ran:
        """What becomes of a block, with those before it run first: not the slow ones, unless the block is one."""
        for each in self.blocks:
            if each.line <= block.line and each.line not in self.ran and (block.slow or not each.slow):
                try:
                    problem = self._static_problem(each)
                    self.ran[each.line] = Ran(problem) if problem or each.skipped else self._run(each)
                except (PageError, InputError) as error:
                    self.ran[each.line] = Ran(str(error))
        return self.ran[block.line]

    def _static_problem(self, block: Block) -> str:
        """What is wrong with a block, as far as can be told without running it."""
        if block.language in (PYTHON, CHECK):
            try:
                compile(block.text, self.name, "exec")
            except SyntaxError as error:
                return f"not Python: {error}"
        if block.language == YAML:
            path = self.folder / (block.file or f"line-{block.line}.yaml")
            path.write_text(block.text, encoding="utf-8")
            return (not block.skipped and documents.problem(path)) or ""
        ours = any(commands.is_command(step.command) for step in block.steps)
        if block.language == SHELL and not ours and not block.skipped:
            return "no command of ours is in it: make it a block of text, or of console with the command that prints it"
        return "\n".join(
            problem for step in block.steps if not step.fails for problem in commands.problems(step.command)
        )

    def _run(self, block: Block) -> Ran:
        folder = self.folder
        typed = "\n".join(step.command for step in block.steps) or block.text
        provide("" if block.language == YAML else typed, folder, self.terminal, block.slow)
        if block.file and block.language == PYTHON:
            (folder / block.file).write_text(block.text, encoding="utf-8")
        if block.language == CHECK or (block.language == PYTHON and not self._called(block)):
            status, printed = self.terminal.python(block.text, f"{self.name}:{block.line + 1}", folder)
            return Ran(_failure(status, printed) if status else "", [printed])
        ran = Ran()
        for step in block.steps:
            status, printed = self.terminal.run(step.command, folder)
            ran.printed.append(printed)
            ran.problem = ran.problem or self._problem(block, step, status, printed)
        return ran

    def _called(self, block: Block) -> bool:
        """Whether a command of the page runs the block's file."""
        names = (re.findall(r"[\w./-]+", step.command) for each in self.blocks for step in each.steps)
        return block.file is not None and any(block.file in each for each in names)

    def _problem(self, block: Block, step: Step, status: int, printed: list[str]) -> str:
        """What is wrong with a command that has run."""
        if bool(status) != step.fails:
            said = _failure(status, printed) if status else "it succeeds, and an error is shown"
            return f"$ {step.command}\n{said}"
        if block.language == CONSOLE and not matches(step.shown, printed, block.tolerance):
            difference = unified_diff(step.shown, printed, "shown", "printed", lineterm="", n=1)
            return "\n".join([f"$ {step.command}", *difference])
        return next(self._picture_problems(step), "")

    def _picture_problems(self, step: Step) -> Iterator[str]:
        for shown, drawn in self._pictures(step):
            with Image.open(shown) as ours, Image.open(drawn) as theirs:
                if ours.size != theirs.size:
                    yield f"{shown.name} is of {ours.size} pixels, and {step.command} draws {theirs.size}"

    def _pictures(self, step: Step) -> Iterator[tuple[Path, Path]]:
        """Pictures of the page by whose names a command draws, and what it drew."""
        words = re.findall(r"[\w./-]+\.(?:png|jpg)", step.command)
        for place in PICTURE.findall(self.text):
            shown = self.path.parent / place
            for word in words:
                if Path(word).name == shown.name and shown.is_file() and (self.folder / word).is_file():
                    yield shown, self.folder / word

    def updated(self) -> tuple[str, list[str]]:
        """The page with what the commands of its mismatching blocks printed, and the problems that are left: those of
        other blocks, and commands that failed or succeeded against what is shown. Pictures are put in place."""
        text, left = self.text, []
        for block in reversed(self.blocks):
            ran = self.ran.get(block.line, Ran())
            if ran.problem:
                try:
                    new = _rewritten(block, ran)
                except PageError as error:
                    left.append(str(error))
                else:
                    text = text[: block.begin] + block.indented(new) + text[block.end :]
                    for shown, drawn in (pair for step in block.steps for pair in self._pictures(step)):
                        shutil.copy(drawn, shown)
        return text, left

    @cached_property
    def folder(self) -> Path:
        """The folder that the page's examples run in."""
        path = self.terminal.root / "pages" / re.sub(r"\W", "-", self.name)
        path.mkdir(parents=True)
        return path


def _failure(status: int, printed: list[str]) -> str:
    reason = "takes too long" if status == TIMED_OUT else f"fails with status {status}"
    return "\n".join([f"{reason}:", *printed[-12:]])


def _rewritten(block: Block, ran: Ran) -> str:
    """The text of a console block with what its commands printed; PageError where that is no output to show."""
    if block.language != CONSOLE or len(ran.printed) != len(block.steps):
        raise PageError(ran.problem)
    lines = []
    for step, printed in zip(block.steps, ran.printed, strict=True):
        if step.fails != any(line.startswith(ERROR) for line in printed):
            raise PageError(ran.problem)
        kept = matches(step.shown, printed, block.tolerance)
        lines += [*step.typed, *(step.shown if kept else elided(step.shown, printed))]
    return "\n".join(lines) + "\n"
