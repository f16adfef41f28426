"""Command lines in pages: that their commands, options and values exist, found by the command line's own parser."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import click

from reskeras.errors import ReskerasError
from reskeras_cli.main import commands

ROOT = Path(__file__).parents[3]
PROGRAM = "reskeras"
ENDS = re.compile(r"[;&|<>()]+")  # what ends a command in a shell
PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9_-]*(?:\.\w+|\.\.\.)?|.*[A-Z]{2,}=[A-Z]{2,}|\w+x\w*[MN]\w*|\w*[MN]x\w+")
ASSIGNMENT = re.compile(r"\w+=")


def problems(line: str) -> Iterator[str]:
    """What is wrong with a command line of a shell, whose own syntax is not looked at; nothing for other programs."""
    for words in _simple_commands(line):
        if words[0] == PROGRAM:
            yield from _problem(words[1:])
        elif words[0] == "make":
            yield from (f"the Makefile has no target {word}" for word in words[1:] if not _is_target(word))
        elif "pip" in words[:3] and "install" in words:
            for extra in re.findall(r"[.\w]\[([\w,-]+)\]", " ".join(words)):
                yield from (f"setup.py has no extra {name}" for name in extra.split(",") if name not in _extras())


def is_command(line: str) -> bool:
    """Whether a line calls this program, alone or in a shell's line, or one that examples set it up or call it with."""
    return any(words[0] in (PROGRAM, "make", "pip", "python") for words in _simple_commands(line))


def span_problem(text: str) -> str | None:
    """What is wrong with a code span of running text, if it is a command line of ours or options of one.

    Spans may leave out `reskeras` and arguments, and have `...` and placeholders such as RUN.
    """
    try:
        words = [word for word in shlex.split(text.replace("…", "...")) if word != "..."]
    except ValueError:
        return None
    if words[:1] == [PROGRAM]:
        return next(_problem(words[1:], whole=False), None)
    options = [word for word in words if word.startswith("--")]
    if not options or not all(re.fullmatch(r"--[a-z][\w-]*(=.*)?", word) for word in options):
        return None
    if words[0] in commands.list_commands(click.Context(commands)):
        return next(_problem(words, whole=False), None)
    if not words[0].startswith("--"):
        return None
    if options == words:  # a list of names of options
        unknown = [word for word in words if not any(_takes(each, [word], names_only=True) for each in all_commands())]
        return f"no command has the option {unknown[0]}" if unknown else None
    return None if any(_takes(each, words) for each in all_commands()) else f"no command takes {text}"


@cache
def all_commands() -> tuple[click.Context, ...]:
    """A context for each command, groups included."""

    def below(context: click.Context) -> Iterator[click.Context]:
        yield context
        if isinstance(context.command, click.Group):
            for name in context.command.list_commands(context):
                if found := context.command.get_command(context, name):
                    yield from below(click.Context(found, context, name))

    return tuple(below(click.Context(commands, info_name=PROGRAM)))


def _problem(words: Sequence[str], whole: bool = True) -> Iterator[str]:
    """The first problem of the words after `reskeras`; unless `whole`, arguments may be missing."""
    try:
        context, rest = _resolved([*words])
        if isinstance(context.command, click.Group):
            if rest and not all(word in _flags(context) for word in rest):
                raise click.UsageError(f"no such command {rest[0]!r}")
            return
        _parse(context, rest, whole)
    except (click.ClickException, ReskerasError) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        yield f"{message} ({' '.join([PROGRAM, *words])})"


def _resolved(words: list[str]) -> tuple[click.Context, list[str]]:
    """The command that the words name, and those that are for it."""
    context = click.Context(commands, info_name=PROGRAM)
    while isinstance(context.command, click.Group):
        group = context.command
        before = [word for word in words[:1] if word in _flags(context)]  # such as -q before a command's name
        words = words[len(before) :]
        if not words:
            return context, before
        name, command, words = group.resolve_command(context, words)
        assert command is not None
        context = click.Context(command, context, name)
    return context, words


def _flags(context: click.Context) -> set[str]:
    """Options of a group, none of which takes a value."""
    return {name for param in context.command.get_params(context) for name in param.opts}


def _parse(context: click.Context, words: Sequence[str], whole: bool) -> None:
    """Parse the words for a command; UsageError for options that it lacks, values that it refuses and extra words."""
    try:
        values, extra, _ = context.command.make_parser(context).parse_args([*words])
    except click.BadOptionUsage as error:
        if whole or words[-1] != error.option_name:  # the last option may lack its value
            raise
        return
    if extra:
        raise click.UsageError(f"unexpected {' '.join(extra)}")
    for param in context.command.get_params(context):
        given = values.get(param.name)
        given = given if isinstance(given, list | tuple) else [given]
        if whole and param.required and not any(isinstance(value, str) for value in given):
            raise click.MissingParameter(ctx=context, param=param)
        for value in given:
            if isinstance(value, str) and not isinstance(param.type, click.Path) and not PLACEHOLDER.fullmatch(value):
                param.type.convert(value, param, context)
    launched = values.get("arguments") if context.info_name == "launch" else ()
    if isinstance(launched, list | tuple):
        for problem in _problem(launched, whole):
            raise click.UsageError(problem)


def _takes(context: click.Context, words: Sequence[str], names_only: bool = False) -> bool:
    if names_only:
        return any(words[0] in (*param.opts, *param.secondary_opts) for param in context.command.get_params(context))
    first = words[0].partition("=")[0]
    if not any(first in (*param.opts, *param.secondary_opts) for param in context.command.get_params(context)):
        return False
    try:
        _parse(context, words, whole=False)
    except (click.ClickException, ReskerasError):
        return False
    return True


def _simple_commands(line: str) -> Iterator[list[str]]:
    """Words of each command of a shell's line, without assignments before it; those in $(...) come first."""
    yield from (words for inner in re.findall(r"\$\(([^()]*)\)", line) for words in _simple_commands(inner))
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, "#"
    try:
        tokens = [*lexer]
    except ValueError:
        tokens = line.split()
    words: list[str] = []
    for token in [*tokens, ";"]:
        if ENDS.fullmatch(token):
            if words:
                yield words
            # a file that output goes to is no command
            words = ["<file>"] if re.search("[<>]", token) else []
        elif words or not ASSIGNMENT.match(token):
            words.append(token)


def _is_target(word: str) -> bool:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return "=" in word or word.startswith("-") or re.search(rf"^{re.escape(word)}:", text, re.MULTILINE) is not None


@cache
def _extras() -> set[str]:
    """The extras that setup.py declares."""
    for node in ast.walk(ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "extras_require" and isinstance(node.value, ast.Dict):
            return {ast.literal_eval(key) for key in node.value.keys if key}
    return set()
