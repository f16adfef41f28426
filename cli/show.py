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
@click.option("--batch", type=click.IntRange(min=1), default=1, metavar="N", help="Batch size for the memory figures.")
@click.option("--yaml", "form", flag_value="yaml", help="Print the sparse spec, as a file to edit.")
@click.option("--resolved", "form", flag_value="resolved", help="Print the spec with every default filled in.")
@click.option("--json", "form", flag_value="json", help="Print JSON, for programs.")
def command(request: NetworkRequest, units: bool, batch: int, form: str | None) -> None:
    """Describe a network stage by stage, with its costs, before anything is built.

    NETWORK is a name from the catalogue (reskeras list), a YAML file or a run folder; flags override its fields, or
    define a network without it.
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
