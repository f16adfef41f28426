"""`reskeras schema`: JSON Schema of the YAML files that people write."""

from __future__ import annotations

import click

from .network_options import FieldChoice
from .output import emit_json


@click.command(
    "schema",
    epilog="\b\nExample, with an editor that speaks the YAML language server's protocol:\n"
    "  reskeras schema network > network.schema.json\n"
    "  echo '# yaml-language-server: $schema=network.schema.json' > my-net.yaml",
)
@click.argument("document", type=FieldChoice(["network", "inception", "recipe"]), default="network",
                metavar="[network|inception|recipe]")
def command(document: str) -> None:
    """JSON Schema of a network file, of one with the field `inception`, or of a recipe file, so that an editor
    completes and checks it."""
    from reskeras.spec.inception import InceptionSpec
    from reskeras.spec.network import NetworkSpec
    from reskeras.spec.recipe import Recipe

    schema = {"network": NetworkSpec, "inception": InceptionSpec, "recipe": Recipe}[document].model_json_schema()
    emit_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
