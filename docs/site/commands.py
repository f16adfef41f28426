"""A page for each command of `reskeras`, from its click help."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from textwrap import dedent

import click

from docs.site.page import Page, address, block, code, prose, table
from reskeras_cli.groups import Commands
from reskeras_cli.main import commands
from reskeras_cli.network_options import FLAGS, STANDS_FOR

OF_NETWORKS = {*FLAGS, *STANDS_FOR, "settings"}
OF_ALL = {"quiet", "verbose", "help"}
OPTIONS, NETWORK, COMMON = "Options", "Options that specify the network", "Options of all commands"
INDEX = "commands/index.md"


@dataclass(frozen=True)
class Command:
    """A command, with the words that call it, its help line, its section, and the module that has it."""

    words: tuple[str, ...]
    context: click.Context
    line: str
    section: str
    module: str

    @property
    def path(self) -> str:
        """Its page."""
        return f"commands/{'-'.join(self.words[1:])}.md"

    @property
    def name(self) -> str:
        """As it is typed."""
        return " ".join(self.words)


def found() -> Iterator[Command]:
    """All commands, those of a group after it."""
    root = click.Context(commands, info_name="reskeras", **commands.context_settings)
    yield from _within(root, ("reskeras",))


def _within(context: click.Context, words: tuple[str, ...]) -> Iterator[Command]:
    group = context.command
    assert isinstance(group, Commands)
    for name, entry in group.table.items():
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        yield Command((*words, name), inner, entry.help, entry.section, f"cli/{entry.module.lstrip('.')}.py")
        if isinstance(command, Commands):
            yield from _within(inner, (*words, name))


def pages() -> list[Page]:
    """The pages of all commands, after the page that lists them."""
    every = list(found())
    return [_index(every), *(_page(each, every) for each in every)]


def _index(every: Sequence[Command]) -> Page:
    lead = prose(inspect.cleandoc(commands.help or ""))
    parts = ["# Commands", lead, block("reskeras COMMAND --help", "console"), _examples(commands)]
    top = [each for each in every if len(each.words) == 2]
    for section in dict.fromkeys(each.section for each in top):
        parts += [f"## {section}", _listed([each for each in top if each.section == section], INDEX)]
    parts += ["## Exit status", STATUS]
    return Page(INDEX, "All commands", "\n\n".join(filter(None, parts)), "cli/main.py", "All commands of reskeras.")


STATUS = table(
    ["status", "meaning"],
    [
        ["0", "Done."],
        ["1", "Work failed, or something is broken: a file, a machine, an export that does not match."],
        ["2", "A mistake in what was typed or in a YAML file. The message names the field, the value and the choices."],
        ["130", "Interrupted with Ctrl-C."],
    ],
)


def _listed(listed: Sequence[Command], here: str) -> str:
    to = partial(address, here)
    return table(
        ["command", "what it does"], [[f"[{code(each.name)}]({to(each.path)})", prose(each.line)] for each in listed]
    )


def _page(each: Command, every: Sequence[Command]) -> Page:
    command, context = each.context.command, each.context
    usage = " ".join([each.name, *command.collect_usage_pieces(context)])
    below = [one for one in every if one.words[:-1] == each.words]
    parts = [f"# {each.name}", _described(command.help or ""), "## Usage", block(usage, "text")]
    for section in dict.fromkeys(one.section for one in below):
        parts += [f"## {section}", _listed([one for one in below if one.section == section], each.path)]
    parts += [_examples(command), _arguments(command, context), *_options(command, context)]
    family = [one for one in every if one.words[:2] == each.words[:2]]  # a command with those below it
    group = " ".join(each.words[:2]) if len(family) > 1 else each.section
    text = "\n\n".join(filter(None, parts))
    return Page(each.path, each.name.removeprefix("reskeras "), text, each.module, each.line, group)


def _described(text: str) -> str:
    """A command's help: paragraphs, and those that click leaves as they are, which are marked by a backspace."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        block(part.removeprefix("\b\n"), "text") if part.startswith("\b") else prose(part) for part in paragraphs
    )


def _examples(command: click.Command) -> str:
    """The examples that the help ends with: a line that says of what, then indented commands."""
    parts = []
    for part in filter(None, (command.epilog or "").replace("\b\n", "").strip("\n").split("\n\n")):
        title, *lines = part.split("\n")
        if not lines or not all(line.startswith("  ") for line in lines):
            parts.append(prose(part))
            continue
        name, _, of = title.rstrip(":").partition(", ")
        parts += [f"## {name}", *([prose(of[:1].upper() + of[1:]) + ":"] if of else [])]
        parts.append(block(dedent("\n".join(lines)), "shell"))
    return "\n\n".join(parts)


def _arguments(command: click.Command, context: click.Context) -> str:
    rows = [[_argument(each, context), _number(each)] for each in command.params if isinstance(each, click.Argument)]
    return f"## Arguments\n\n{table(['argument', 'how many'], rows)}" if rows else ""


def _argument(argument: click.Argument, context: click.Context) -> str:
    """An argument's name in the usage; one of a choice is told by its values, which a line may break between."""
    if isinstance(argument.type, click.Choice):
        return " or ".join(code(str(value)) for value in argument.type.choices)
    return code(argument.make_metavar(context).strip("[]").removesuffix("...").strip("[]"))


def _number(argument: click.Argument) -> str:
    if argument.nargs == 1:
        return "one" if argument.required else "one or none"
    if argument.nargs < 0:
        return "one or more" if argument.required else "any number"
    return str(argument.nargs)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    rows: dict[str, list[list[str]]] = {OPTIONS: [], NETWORK: [], COMMON: []}
    for each in command.get_params(context):
        if isinstance(each, click.Option) and not each.hidden:
            rows[_kind(each)].append(_option(each, context))
    for title, listed in rows.items():
        if listed:
            yield f"## {title}"
            yield table(["option", "meaning"], listed, kind="fields")


def _kind(option: click.Option) -> str:
    name = max(option.opts, key=len).lstrip("-")
    return COMMON if name in OF_ALL else NETWORK if option.name in OF_NETWORKS else OPTIONS


def _option(option: click.Option, context: click.Context) -> list[str]:
    record = option.get_help_record(context)
    assert record is not None
    anchor = max(option.opts, key=len).lstrip("-")
    return [f'<span id="{anchor}">{code(record[0])}</span>', _meaning(option, context)]


def _meaning(option: click.Option, context: click.Context) -> str:
    """An option's help; its bounds, and its default, which click adds or the help itself ends with, as sentences."""
    told, _, said = " ".join((option.help or "").replace("\b", "").split()).partition("[default: ")
    default = said.rstrip("]") or option.get_help_extra(context).get("default", "")
    sentences = [prose(told.strip()), _bounds(option.type), "Required." if option.required else ""]
    return " ".join([*filter(None, sentences), *([f"Default: {_default(default)}."] if default else [])])


def _bounds(of: click.ParamType) -> str:
    """The range of a number in words."""
    if not isinstance(of, click.IntRange | click.FloatRange):
        return ""
    if of.max is None:
        return f"{'Above' if of.min_open else 'At least'} {of.min:g}."
    return f"{of.min:,} to {of.max:,}."


def _default(text: str) -> str:
    """A default: a value as code, words as they are."""
    return prose(text) if " " in text else code(text)
