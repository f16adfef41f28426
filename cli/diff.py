"""`reskeras diff`: two networks compared, operation by operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from reskeras.errors import ReskerasError
from reskeras.quantities import short, short_bytes

from .completion import complete_network
from .network_options import NetworkRequest, network_options
from .output import Styled, echo, emit_json, heading, json_option, sentence
from .tables import Column, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from reskeras.networks.diff import Difference, UnitChange

COLOURS = {"-": "red", "+": "green", "~": "yellow"}


@click.command(
    "diff",
    epilog="\b\nExamples:\n"
    "  reskeras diff resnet-50 preact-50\n"
    "  reskeras diff resnet-50 --set stride_on=3x3\n"
    "  reskeras diff my-net.yaml saved_models/my-net",
)
@click.argument("a", shell_complete=complete_network)
@click.argument("b", required=False, shell_complete=complete_network)
@network_options("absent")
@json_option
def command(a: str, b: str | None, request: NetworkRequest, as_json: bool) -> None:
    """Compare networks A and B: fields, operations, costs.

    A and B are names, YAML files or run folders. Flags apply to B; without B, they apply to A, and A is compared with
    and without them. The exit status is 0 whether or not the networks differ.
    """
    from reskeras.networks.diff import difference
    from reskeras.networks.request import network

    if b is None and not request.has_flags:
        raise ReskerasError("diff: only one network given; name a second one, or give flags to compare it with")
    found = difference(network(a), request.over(b or a).spec())
    if as_json:
        emit_json({"same": found.empty, **asdict(found)})
    elif found.empty:
        echo("no differences")
    else:
        _echo(found, a, b or f"{a} with flags")


def _echo(found: Difference, a: str, b: str) -> None:
    if found.fields:
        heading("fields")
        table(
            [Column("field"), Column(a), Column(b)],
            [[change.field, value_text(change.before), value_text(change.after)] for change in found.fields],
        )
        echo()
    if found.units:
        heading("operations", f"- only in {a}, + only in {b}, ~ in both with different values")
        echo_units(found.units)
    heading("costs")
    totals: list[tuple[str, int, int, Callable[[int], str]]] = [
        (name, getattr(found.before, field), getattr(found.after, field), show)
        for name, field, show in (
            ("parameters", "parameters", "{:,}".format),
            ("statistics", "statistics", "{:,}".format),
            ("multiply-adds", "multiply_adds", short),
        )
    ]
    totals.append(("memory (batch 1)", found.before.activation_bytes(1), found.after.activation_bytes(1), short_bytes))
    table(
        [Column("total"), Column(a, right=True), Column(b, right=True), Column("change", right=True)],
        [[name, show(old), show(new), _change(old, new)] for name, old, new, show in totals],
    )


def echo_units(changes: Sequence[UnitChange]) -> None:
    """Print the operations that differ, unit by unit."""
    for change in changes:
        sentence(change.units, indent="  ")
        width = max(len(step.name) for step in change.steps)
        part_width = max(len(step.part) for step in change.steps)
        for step in change.steps:
            place = f"{step.part:<{part_width}}  " if part_width else ""
            line = f"    {step.sign} {place}{step.name:<{width}}  {step.words if step.words != step.name else ''}"
            echo(Styled(line.rstrip(), colour=COLOURS[step.sign]))
    echo()


def value_text(value: Any) -> str:
    """The value of a field as text for a table."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _change(old: int, new: int) -> str:
    if old == new:
        return "same"
    return f"{new / old - 1:+.2%}" if old else "-"
