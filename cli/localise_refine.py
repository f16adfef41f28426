"""`reskeras localise refine`: trains a refiner on annotated images and a localiser's boxes into a run folder."""

from __future__ import annotations

import click

from .network_options import NetworkRequest, network_options
from .train import train_as
from .training_options import OF_OBJECTS, TrainingRequest, objects_option, training_options


@click.command(
    "refine",
    epilog="\b\nExamples:\n"
    "  reskeras localise refine cifar-resnet-20 --input-shape 32x32x3 --teacher saved_models/where --data digits-loc\n"
    "  reskeras localise refine --from saved_models/photos --teacher saved_models/where --data voc:pets",
)
@network_options(metavar="[REFINER]")
@objects_option("Annotated images, like those the localiser was trained on")
@training_options(
    recipe="the one in REFINER's file, else refiner",
    start="Start from the weights and preprocessing of this run, a classifier's or a refiner's, and from its network "
    "unless REFINER is given.",
    losses=OF_OBJECTS,
    teacher="The trained localiser whose boxes are judged, unless the recipe names it.",
)
def command(request: NetworkRequest, data: str, training: TrainingRequest) -> None:
    """Train a REFINER (v1 appendix C, RoI-centric R-CNN): the best boxes of each class that an image holds, by the
    localiser that --teacher names, are cut out of the image, warped to the judge's --input-shape, scored anew and
    moved.

    REFINER is a YAML file with the field judge, a refiner's run, or any network to use as the judge. Flags override
    fields of the judge; --set also sets the refiner's own, such as --set count=50.

    Ctrl-C or SIGTERM stops training after the current step; the same command with --resume continues it.
    """
    train_as("refinement", request, data, training)
