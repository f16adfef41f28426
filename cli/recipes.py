"""`reskeras recipes`: the built-in training recipes."""

from __future__ import annotations

import click

from .completion import complete_recipe
from .output import echo, echo_text, emit_json, heading, json_option, prose
from .tables import Column, table


@click.command(
    "recipes",
    epilog="\b\nExamples:\n  reskeras recipes\n  reskeras recipes paper-cifar > mine.yaml\n  reskeras recipes --json",
)
@click.argument("name", required=False, shell_complete=complete_recipe)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the built-in recipes, or print the YAML of NAME with every field, as a starting point for your own."""
    from reskeras.documents.document import to_yaml
    from reskeras.documents.shipped import shipped_names
    from reskeras.recipes.recipe import recipe

    if name:
        chosen = recipe(name).model_dump(mode="json")
        emit_json(chosen) if as_json else echo_text(to_yaml(chosen), nl=False)
        return
    chosen = {each: recipe(each) for each in shipped_names("recipe")}
    if as_json:
        emit_json({each: one.sparse() for each, one in chosen.items()})
        return
    columns = [
        Column("recipe"),
        Column("length"),
        Column("batch", right=True),
        Column("optimiser"),
        Column("learning rate", right=True),
        Column("schedule"),
        Column("weight decay", right=True),
    ]
    table(
        columns,
        [
            [
                each,
                f"{one.iterations:,} iterations" if one.iterations else f"{one.epochs} epochs",
                str(one.batch_size),
                one.optimizer.kind,
                f"{one.learning_rate:g}",
                one.schedule.kind,
                f"{one.weight_decay:g}",
            ]
            for each, one in chosen.items()
        ],
    )
    for each, one in chosen.items():
        echo()
        heading(each)
        prose(one.description, indent="  ")
