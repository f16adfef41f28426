"""Command groups defined by tables: a command is imported when it is used, and help imports none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from .paths import with_addresses
from .verbosity import with_verbosity


@dataclass(frozen=True)
class Entry:
    """A command that is not imported yet: the module that has it as `command`, its help line, its section."""

    module: str
    help: str
    section: str


class Commands(click.Group):
    """A group whose commands are listed in a table and imported lazily; words that begin with none of their names are
    for the `default` one, if there is one."""

    def __init__(self, *arguments: Any, table: Mapping[str, Entry], default: str | None = None, **keywords: Any):
        super().__init__(*arguments, **keywords)
        self.table, self.default = table, default

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands, in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        entry = self.table.get(cmd_name)
        return with_verbosity(with_addresses(import_module(entry.module, __package__).command)) if entry else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; for an unknown name the error suggests the nearest one."""
        if self.default and args[0] not in self.table:
            args = [self.default, *args]
        name = args[0]
        if name not in self.table and not name.startswith("-"):
            within = f"{ctx.info_name} " if ctx.parent else ""
            near = get_close_matches(name, self.table, n=1)
            hint = f"; did you mean {within}{near[0]}?" if near else ""
            raise click.UsageError(f"no such command {within + name!r}{hint}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Completions of commands and options, without importing any command but the default one, and of what that
        takes."""
        names = [
            CompletionItem(name, help=entry.help) for name, entry in self.table.items() if name.startswith(incomplete)
        ]
        if self.default and (default := self.get_command(ctx, self.default)):
            taken = [each for each in default.params if isinstance(each, click.Argument)][:1]
            names += [found for each in taken for found in each.shell_complete(ctx, incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help lines, section by section."""
        width = max(map(len, self.table))
        for section in dict.fromkeys(entry.section for entry in self.table.values()):
            with formatter.section(section):
                rows = [(name, entry.help) for name, entry in self.table.items() if entry.section == section]
                formatter.write_dl([(name.ljust(width), line) for name, line in rows])
