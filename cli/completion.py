"""`reskeras completion`: shell completion, and the completers of arguments and options."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from reskeras.errors import ReskerasError
from reskeras.readers import CLASSES, OBJECTS, READERS, readers_of

from .output import echo_text

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_RESKERAS_COMPLETE"  # click's variable for a program of this name
Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command(
    "completion",
    epilog="\b\nExamples:\n"
    "  reskeras completion bash\n"
    "  echo 'eval \"$(reskeras completion bash)\"' >> ~/.bashrc\n"
    "  echo 'eval \"$(reskeras completion zsh)\"' >> ~/.zshrc\n"
    "  reskeras completion fish > ~/.config/fish/completions/reskeras.fish",
)
@click.argument("shell", required=False, metavar="[bash|zsh|fish]")
@click.pass_context
def command(context: click.Context, shell: str | None) -> None:
    """Print the script with which SHELL completes commands, options and names.

    SHELL defaults to your own ($SHELL). Add the line from the examples to its start-up file and open a new shell: the
    Tab key then completes networks, recipes, spaces, suites, data sources and files.
    """
    name = shell or Path(os.environ.get("SHELL", "bash")).name
    script = get_completion_class(name) if name in SHELLS else None
    if script is None:
        raise ReskerasError(f"completion: {name!r} is not one of {', '.join(SHELLS)}")
    program = context.find_root().command
    echo_text(script(program, {}, "reskeras", VARIABLE).source())


def completing(names: Callable[[], Iterable[str]], *, or_files: bool = True) -> Completer:
    """A `shell_complete` that offers matching `names`; where none matches, files, if `or_files`."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found = [CompletionItem(name) for name in names() if name.startswith(incomplete)]
        return found or ([CompletionItem(incomplete, type="file")] if or_files else [])

    return complete


def _networks() -> Iterable[str]:
    from reskeras.networks.catalog import catalog

    return catalog()


def _shipped(kind: str) -> Callable[[], Sequence[str]]:
    def names() -> Sequence[str]:
        from reskeras.documents.shipped import shipped_names

        return shipped_names(kind)

    return names


def _devices() -> Iterable[str]:
    from reskeras.scaling.accelerators import ACCELERATORS

    return ACCELERATORS


complete_network = completing(_networks)
complete_device = completing(_devices, or_files=False)
complete_recipe = completing(_shipped("recipe"))
complete_space = completing(_shipped("space"))
complete_suite = completing(_shipped("suite"))
complete_suites = completing(lambda: ["all", *_shipped("suite")()])
complete_scale = completing(lambda: ("paper", "budget", "short", "smoke"), or_files=False)
complete_turn = completing(lambda: ("must", "should", "may"), or_files=False)
complete_source = completing(lambda: dict.fromkeys(reader.start for reader in READERS), or_files=False)
complete_data = completing(lambda: [reader.start for reader in readers_of(CLASSES)], or_files=False)
complete_objects = completing(lambda: [reader.start for reader in readers_of(OBJECTS)], or_files=False)
