"""`reskeras localise tune`: hyperparameter search over localisers, or refiners, and recipes."""

from __future__ import annotations

from typing import Any

import click

from reskeras.readers import OBJECTS, usages

from .completion import complete_objects
from .network_options import NetworkRequest, network_options
from .search_options import search_as, searching_options


@click.command(
    "tune",
    epilog="\b\nExamples:\n"
    "  reskeras localise tune cifar-resnet-20 --input-shape 56x56x3 --space localiser --data digits-loc --epochs 5\n"
    "  reskeras localise tune cifar-resnet-20 --input-shape 32x32x3 --teacher saved_models/where --space refiner "
    "--data digits-loc\n"
    "  reskeras localise tune --show saved_models/tune-cifar-resnet-20-localiser-digits-loc",
)
@network_options(metavar="[LOCALISER]")
@click.option(
    "--teacher",
    metavar="RUN",
    help="Search for a refiner of this trained localiser's boxes instead; LOCALISER is then a REFINER, as for "
    "`reskeras localise refine`.",
)
@searching_options(
    click.option(
        "--data", metavar="SOURCE", shell_complete=complete_objects, help=f"Annotated images: {usages(OBJECTS)}."
    ),
    "localiser; refiner with --teacher",
    "val_localised, the share of right boxes on images held out",
)
def command(request: NetworkRequest, teacher: str | None, **asked: Any) -> None:
    """Search SPACE for the best localiser and recipe, starting from LOCALISER; with --teacher for the best refiner.

    In a space, network.sample is a field of the localiser and network.trunk.depth one of its trunk; for a refiner these
    are network.regions and network.judge.depth. Everything else is as in `reskeras tune`; best.yaml is for `reskeras
    localise train`, or `refine`.
    """
    search_as("refinement" if teacher else "localisation", request, teacher=teacher, **asked)
