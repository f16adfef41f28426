"""`reskeras spaces`: the built-in search spaces."""

from __future__ import annotations

import click

from .completion import complete_space
from .output import emit_json, heading, json_option
from .tables import Column, table


@click.command("spaces", epilog="\b\nExamples:\n  reskeras spaces\n  reskeras spaces skips\n  reskeras spaces --json")
@click.argument("name", required=False, metavar="[SPACE]", shell_complete=complete_space)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the spaces that `reskeras tune` can search, or the parameters of SPACE (a name or a YAML file)."""
    from reskeras.documents.shipped import shipped_names
    from reskeras.spaces.space import space

    every = {each: space(each) for each in ([name] if name else shipped_names("space"))}
    if as_json:
        emit_json({each: chosen.sparse() for each, chosen in every.items()})
        return
    if name:
        chosen = every[name]
        heading(name, chosen.description)
        table(
            [Column("parameter"), Column("values"), Column("when")],
            [(path, domain.describe(), domain.describe_when()) for path, domain in chosen.parameters.items()],
        )
        return
    table(
        [Column("space"), Column("parameters", right=True), Column("description")],
        [(each, str(len(chosen.parameters)), chosen.description) for each, chosen in every.items()],
    )
