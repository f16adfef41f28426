"""`reskeras list`: the catalogue of named networks."""

from __future__ import annotations

from typing import Any

import click

from reskeras.quantities import short

from .output import emit_json, json_option, shape_text
from .tables import Column, table


@click.command("list", epilog="\b\nExamples:\n  reskeras list\n  reskeras list --filter preact --json")
@click.option(
    "--filter", "text", default="", metavar="TEXT", help="List only networks with TEXT in the name or any field."
)
@json_option
def command(text: str, as_json: bool) -> None:
    """List the catalogue: the papers' networks by name, with their fields and costs."""
    from reskeras.errors import ReskerasError

    rows = described_rows(text)
    if not rows:
        raise ReskerasError(f"--filter: no network has {text!r} in its name or fields; reskeras list shows all")
    if as_json:
        emit_json(rows)
        return
    columns = [
        Column("name"),
        Column("layers", right=True),
        Column("block", spare=4),
        Column("shortcut", spare=5),
        Column("skip", spare=6),
        Column("order", spare=3),
        Column("input", spare=7),
        Column("parameters", right=True),
        Column("multiply-adds", right=True),
        Column("source", spare=2),
    ]
    table(
        columns,
        [
            [
                row["name"],
                str(row["layers"]),
                row["block"],
                row["shortcut"],
                row["skip"],
                row["order"],
                shape_text(row["input_shape"]),
                short(row["parameters"]),
                short(row["multiply_adds"]),
                row["source"],
            ]
            for row in rows
        ],
    )


def described_rows(text: str = "") -> list[dict[str, Any]]:
    """Name, fields, costs and source of each named network with `text` in any of them but the costs."""
    from reskeras.networks.catalog import catalog

    rows = [
        {"name": name, **row.spec.facts(), "input_shape": row.spec.whole()["input_shape"], "source": row.source}
        for name, row in catalog().items()
    ]
    chosen = [row for row in rows if any(text.lower() in str(value).lower() for value in row.values())]
    for row in chosen:
        row.update(_costs(row["name"]))
    return chosen


def _costs(name: str) -> dict[str, int]:
    from reskeras.networks.catalog import catalog

    costs = catalog()[name].spec.lower().complexity()
    return {"parameters": costs.parameters, "multiply_adds": costs.multiply_adds}
