"""`reskeras show`: describes a network and its costs."""

from __future__ import annotations

import click

from .network_options import NetworkRequest, network_options
from .output import echo_text, emit_json


@click.command(
    "show",
    epilog="\b\nExamples:\n"
    "  reskeras show resnet-50\n"
    "  reskeras show cifar-resnet-110 --skip dropout --set skip.rate=0.3 --units\n"
    "  reskeras show --depth 56 --preact --classes 100 --yaml > my-net.yaml",
)
@network_options()
@click.option("--units", is_flag=True, help="List every unit with its operations.")
@click.option(
    "--batch", type=click.IntRange(min=1), default=1, metavar="N", help="Images per step, for the memory figures."
)
@click.option("--yaml", "form", flag_value="yaml", help="The sparse spec, as a file you can edit.")
@click.option("--resolved", "form", flag_value="resolved", help="The spec with nothing left to a default.")
@click.option("--json", "form", flag_value="json", help="Print JSON, for programs.")
def command(request: NetworkRequest, units: bool, batch: int, form: str | None) -> None:
    """What a network means, stage by stage, and what it costs, before anything is built.

    NETWORK is a name of the catalogue (reskeras list), a YAML file or a run folder; flags are laid over it,
    or describe a network of their own.
    """
    from reskeras.documents.document import to_yaml

    from .overview import Overview

    spec = request.spec()
    if form == "yaml":
        echo_text(to_yaml(spec.sparse()), nl=False)
    elif form == "resolved":
        echo_text(to_yaml(spec.whole()), nl=False)
    elif form == "json":
        emit_json(Overview(spec, batch).data(by_unit=units))
    else:
        Overview(spec, batch).echo(by_unit=units)
