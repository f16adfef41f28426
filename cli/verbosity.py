"""`--quiet` and `--verbose`, which every command has, also before the command's name."""

from __future__ import annotations

from typing import Any

import click

from reskeras.verbosity import Verbosity, telling

CHOSEN = f"{__name__}.chosen"


def with_verbosity(command: click.Command) -> click.Command:
    """Give a command `-q` and `-v`, unless it has them."""
    if not any(parameter.name == "quiet" for parameter in command.params):
        command.params += [
            _flag("quiet", Verbosity.QUIET, "Print only results and errors."),
            _flag("verbose", Verbosity.VERBOSE, "Print more: TensorFlow's own messages, training steps."),
        ]
    return command


def _flag(name: str, level: Verbosity, text: str) -> click.Option:
    def choose(context: click.Context, parameter: click.Parameter, given: bool) -> None:
        if not given:
            return
        if context.meta.setdefault(CHOSEN, level) != level:  # shared with the context of the whole program
            raise click.UsageError("--quiet and --verbose contradict each other; give only one", context)
        context.with_resource(telling(level))

    keywords: dict[str, Any] = {"is_flag": True, "expose_value": False, "callback": choose, "help": text}
    return click.Option([f"-{name[0]}", f"--{name}"], **keywords)
