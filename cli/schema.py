"""`reskeras schema`: JSON Schema of the YAML files that users write."""

from __future__ import annotations

import click

from .network_options import FieldChoice
from .output import emit_json

DOCUMENTS = ["network", "inception", "detector", "localiser", "refiner", "recipe"]


@click.command(
    "schema",
    epilog="\b\nExample, for an editor that supports the YAML language server:\n"
    "  reskeras schema network > network.schema.json\n"
    "  echo '# yaml-language-server: $schema=network.schema.json' > my-net.yaml",
)
@click.argument("document", type=FieldChoice(DOCUMENTS), default="network", metavar=f"[{'|'.join(DOCUMENTS)}]")
def command(document: str) -> None:
    """Print the JSON Schema of a network file, an Inception network's (with the field `inception`), a detector's (with
    the field `backbone`), a localiser's (`trunk`), a refiner's (`judge`) or a recipe file, so that an editor completes
    and checks it."""
    from reskeras.documents.fields import Spec
    from reskeras.networks.detector import DetectorSpec
    from reskeras.networks.inception import InceptionSpec
    from reskeras.networks.localiser import LocaliserSpec
    from reskeras.networks.network import NetworkSpec
    from reskeras.networks.refiner import RefinerSpec
    from reskeras.recipes.recipe import Recipe

    kinds: dict[str, type[Spec]] = {
        "network": NetworkSpec,
        "inception": InceptionSpec,
        "detector": DetectorSpec,
        "localiser": LocaliserSpec,
        "refiner": RefinerSpec,
        "recipe": Recipe,
    }
    emit_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **kinds[document].model_json_schema()})
