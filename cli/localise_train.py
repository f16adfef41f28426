"""`reskeras localise train`: trains a localiser on annotated images by a recipe into a run folder."""

from __future__ import annotations

import click

from .network_options import NetworkRequest, network_options
from .train import train_as
from .training_options import OF_OBJECTS, TrainingRequest, objects_option, training_options


@click.command(
    "train",
    epilog="\b\nExamples:\n"
    "  reskeras localise train cifar-resnet-20 --input-shape 56x56x3 --data digits-loc\n"
    "  reskeras localise train --from saved_models/photos --data voc:pets --out saved_models/where\n"
    "  reskeras localise train resnet-18 --data voc:pets --set per_class=false",
)
@network_options(metavar="[LOCALISER]")
@objects_option()
@training_options(
    recipe="the one in LOCALISER's file, else localiser",
    start="Start from the weights and preprocessing of this run, a classifier's or a localiser's, and from its network "
    "unless LOCALISER is given.",
    losses=OF_OBJECTS,
)
def command(request: NetworkRequest, data: str, training: TrainingRequest) -> None:
    """Train a LOCALISER on annotated images with a recipe: a proposal network with a probability and a box for every
    class (v1 appendix C). Each image must hold an object.

    LOCALISER is a YAML file with the field trunk, a localiser's run, or any network to use as the trunk. Flags override
    fields of the trunk; --set also sets the localiser's own, such as --set anchors.sizes=[16,32,64]. Images are scaled
    to a shorter side of `shorter` pixels, and random crops of the trunk's --input-shape are taken.

    Ctrl-C or SIGTERM stops training after the current step; the same command with --resume continues it.
    """
    train_as("localisation", request, data, training)
