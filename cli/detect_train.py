"""`reskeras detect train`: trains a detector on annotated images by a recipe into a run folder."""

from __future__ import annotations

import click

from reskeras.readers import OBJECTS, usages

from .completion import complete_objects
from .network_options import NetworkRequest, network_options
from .train import train_as
from .training_options import TrainingRequest, training_options


@click.command(
    "train",
    epilog="\b\nExamples:\n"
    "  reskeras detect train resnet-18 --input-shape 240x320x3 --data voc:bccd\n"
    "  reskeras detect train --from saved_models/photos --input-shape 240x320x3 --data voc:VOC2007 --freeze stage1\n"
    "  reskeras detect train mine.yaml --data coco:coco2017 --set anchors.sizes=[16,32,64] --out saved_models/coco\n"
    "  reskeras detect train mine.yaml --data tfds:voc/2007 --epochs 12 --out saved_models/voc --resume",
)
@network_options(metavar="[DETECTOR]")
@click.option(
    "--data",
    required=True,
    metavar="SOURCE",
    shell_complete=complete_objects,
    help=f"Annotated images: {usages(OBJECTS)}.",
)
@training_options(
    recipe="that of DETECTOR's file if it has one, else detector",
    start="Begin with this run's weights and preprocessing, a classifier's or a detector's; its network unless "
    "DETECTOR is given. Batch norm is then frozen, unless the recipe or --no-frozen-bn says otherwise.",
)
def command(request: NetworkRequest, data: str, training: TrainingRequest) -> None:
    """Train a Faster R-CNN DETECTOR on annotated images, by a recipe: proposals and regions together.

    DETECTOR is a YAML file with the field backbone, a detector's run, or any network, which is then the backbone;
    flags are laid over the backbone, --set over the detector's own fields too, such as --set anchors.sizes=[16,32,64].
    Its classes follow the data; its canvas, which images are scaled to fit on, is the backbone's --input-shape. Look at
    it first with `reskeras detect show DETECTOR --data SOURCE`.

    Ctrl-C or SIGTERM stops it after the step it is in; the same command with --resume goes on.
    """
    train_as("detection", request, data, training)
