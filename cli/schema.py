"""`reskeras schema`: JSON Schema of the YAML files that users write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .network_options import FieldChoice
from .output import emit_json

if TYPE_CHECKING:
    from reskeras.documents.fields import Spec

DOCUMENTS = ["network", "inception", "detector", "localiser", "refiner", "recipe", "space", "suite", "protocol"]


@click.command(
    "schema",
    epilog="\b\nExample, for an editor that supports the YAML language server:\n"
    "  reskeras schema network > network.schema.json\n"
    "  echo '# yaml-language-server: $schema=network.schema.json' > my-net.yaml",
)
@click.argument("document", type=FieldChoice(DOCUMENTS), default="network", metavar=f"[{'|'.join(DOCUMENTS)}]")
def command(document: str) -> None:
    """Print the JSON Schema of a kind of YAML file, so that an editor completes and checks it.

    A network's file may be an Inception network's (with the field `inception`), a detector's (`backbone`), a
    localiser's (`trunk`) or a refiner's (`judge`). The others are recipes of training, search spaces, and the suites
    that reproduce a table or figure, with the protocol by which they train.
    """
    emit_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **kinds()[document].model_json_schema()})


def kinds() -> dict[str, type[Spec]]:
    """What each kind of YAML file describes."""
    from reskeras.experiments.suite import ProtocolSpec, SuiteSpec
    from reskeras.networks.detector import DetectorSpec
    from reskeras.networks.inception import InceptionSpec
    from reskeras.networks.localiser import LocaliserSpec
    from reskeras.networks.network import NetworkSpec
    from reskeras.networks.refiner import RefinerSpec
    from reskeras.recipes.recipe import Recipe
    from reskeras.spaces.space import Space

    of_kinds = (
        NetworkSpec,
        InceptionSpec,
        DetectorSpec,
        LocaliserSpec,
        RefinerSpec,
        Recipe,
        Space,
        SuiteSpec,
        ProtocolSpec,
    )
    return dict(zip(DOCUMENTS, of_kinds, strict=True))
