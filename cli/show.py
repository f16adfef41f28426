"""`reskeras show`: describes a network and its costs."""

from __future__ import annotations

import click

from reskeras.errors import ReskerasError

from .network_options import NetworkRequest, network_options
from .output import echo_text, emit_json
from .scaling import ScalingRequest, scaling_options


@click.command(
    "show",
    epilog="\b\nExamples:\n"
    "  reskeras show resnet-50\n"
    "  reskeras show cifar-resnet-110 --skip dropout --set skip.rate=0.3 --units\n"
    "  reskeras show --depth 56 --preact --classes 100 --yaml > my-net.yaml\n"
    "  reskeras show resnet-50 --device h100 --cluster 1x1 --cluster 8x8",
)
@network_options()
@click.option("--units", is_flag=True, help="List every unit with its operations.")
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Batch size for the memory figures; with --device, images on each accelerator.  [default: 1; with --device, "
    "the recipe's batch divided]",
)
@scaling_options
@click.option("--yaml", "form", flag_value="yaml", help="Print the sparse spec, as a file to edit.")
@click.option("--resolved", "form", flag_value="resolved", help="Print the spec with every default filled in.")
@click.option("--json", "form", flag_value="json", help="Print JSON, for programs.")
def command(
    request: NetworkRequest, units: bool, batch: int | None, form: str | None, scaling: ScalingRequest | None
) -> None:
    """Describe a network stage by stage, with its costs, before anything is built.

    NETWORK is a name from the catalogue (reskeras list), a YAML file or a run folder; flags override its fields, or
    define a network without it.

    With --device, print what limits its training on one accelerator or a cluster of them: for each part of a step a
    lower bound from the plan's figures and the device's data sheet, memory, steps, and the cores that the input takes.
    """
    from reskeras.documents.document import to_yaml

    from .overview import Overview

    if scaling and (units or form in ("yaml", "resolved")):
        flag = "units" if units else form
        raise ReskerasError(f"--{flag} describes the network, and --device its training; give only one")
    spec = request.spec()
    planned = scaling.overview(spec, request.source, batch) if scaling else None
    if form == "yaml":
        echo_text(to_yaml(spec.sparse()), nl=False)
    elif form == "resolved":
        echo_text(to_yaml(spec.whole()), nl=False)
    elif form == "json":
        emit_json(
            {**Overview(spec, batch or 1).data(by_unit=units), **({"scaling": planned.data()} if planned else {})}
        )
    elif planned:
        planned.echo()
    else:
        Overview(spec, batch or 1).echo(by_unit=units)
