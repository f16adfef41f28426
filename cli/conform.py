"""`reskeras conform`: identifies a Keras model by its graph, and lists where it deviates from the papers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .diff import echo_units, value_text
from .output import echo, emit_json, facts, heading, json_option, sentence
from .paths import Written
from .tables import Column, table

if TYPE_CHECKING:
    from reskeras.identification.conform import Conformity
    from reskeras.identification.deviations import Deviation
    from reskeras.networks.any_network import AnyNetwork


@click.command(
    "conform",
    epilog="\b\nExamples:\n"
    "  reskeras conform resnet50.keras\n"
    "  reskeras conform downloaded.h5 --write mine.yaml\n"
    "  reskeras conform saved_models/cifar-resnet-20-digits --json",
)
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--write",
    "out",
    type=Written(dir_okay=False),
    metavar="FILE",
    help="Write the spec, if it compiles to the same function.",
)
@json_option
def command(model: Path, out: Path | None, as_json: bool) -> None:
    """Identify the network of MODEL, a .keras or .h5 file or a run folder, and list its deviations from the papers.

    Only the graph is read: names, weights and metadata are ignored, and nothing in the file is executed. The exit
    status is 0 whatever the model is, and 2 when --write has no spec to write.
    """
    from reskeras.identification.conform import conform

    found = conform(model)
    if as_json:
        emit_json(found.data())
    elif found.spec is None:
        echo(f"not a network in this design space: {found.why}")
    else:
        _echo(found, found.spec)
    if out:
        written = found.write(out)
        if not as_json:
            echo()
            echo(f"written  {written}")


def _echo(found: Conformity, spec: AnyNetwork) -> None:
    """Print what the model is, its deviations, and the differences that no spec can express."""
    from reskeras.identification.conform import section_of_units

    _echo_identity(found, spec)
    if found.deviations:
        _echo_deviations(found.deviations)
    if found.obstacles:
        echo()
        heading(
            "differences that no spec can express",
            "- only in the spec's network, + only in the model, ~ in both with different values",
        )
        echo_units(found.obstacles)
        facts([(each.units, section_of_units(each.units), "") for each in found.obstacles])
    if not found.deviations and not found.obstacles:
        echo("no deviations")


def _echo_identity(found: Conformity, spec: AnyNetwork) -> None:
    """Print the network's name and description, the paper's network, and whether the spec is the same function."""
    heading(found.name or "")
    sentence(spec.describe())
    echo()
    yes = ", ".join(
        [
            "yes",
            *(["after its preprocessing"] if found.preprocessing else []),
            *(["up to its softmax"] if found.softmax else []),
        ]
    )
    ahead = "; ".join(dict.fromkeys(found.preprocessing_in_words()))
    facts(
        [
            ("paper's network", found.paper or "", found.source or ""),
            *([("preprocessing", ahead, "in the model, before the network; not part of the spec")] if ahead else []),
            (
                "same function",
                yes if found.exact else "no",
                "as the network compiled from the spec, given the same weights",
            ),
        ]
    )
    echo()


def _echo_deviations(deviations: Sequence[Deviation]) -> None:
    """Print a line for each deviation, with remarks if there are any."""
    heading("deviations")
    remarks = any(each.remark for each in deviations)
    columns = [
        Column("field"),
        Column("paper"),
        Column("model"),
        Column("section"),
        *([Column("remark", spare=1)] if remarks else []),
    ]
    table(
        columns,
        [
            [
                each.field,
                value_text(each.paper),
                value_text(each.value),
                each.section,
                *([each.remark] if remarks else []),
            ]
            for each in deviations
        ],
    )
