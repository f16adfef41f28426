"""`reskeras detect train`: trains a detector on annotated images by a recipe into a run folder."""

from __future__ import annotations

import click

from .network_options import NetworkRequest, network_options
from .train import train_as
from .training_options import OF_OBJECTS, TrainingRequest, objects_option, training_options


@click.command(
    "train",
    epilog="\b\nExamples:\n"
    "  reskeras detect train resnet-18 --input-shape 240x320x3 --data voc:bccd\n"
    "  reskeras detect train --from saved_models/photos --input-shape 240x320x3 --data voc:VOC2007 --freeze stage1\n"
    "  reskeras detect train mine.yaml --data coco:coco2017 --set anchors.sizes=[16,32,64] --out saved_models/coco\n"
    "  reskeras detect train mine.yaml --data tfds:voc/2007 --epochs 12 --out saved_models/voc --resume\n"
    "  reskeras detect train mine.yaml --data yolo:fruit --images 50 --out saved_models/fifty",
)
@network_options(metavar="[DETECTOR]")
@objects_option()
@training_options(
    recipe="the one in DETECTOR's file, else detector",
    start="Start from the weights and preprocessing of this run, a classifier's or a detector's, and from its network "
    "unless DETECTOR is given. Batch norm is then frozen unless the recipe or --no-frozen-bn says otherwise.",
    losses=OF_OBJECTS,
)
def command(request: NetworkRequest, data: str, training: TrainingRequest) -> None:
    """Train a Faster R-CNN DETECTOR on annotated images with a recipe, proposals and regions jointly.

    DETECTOR is a YAML file with the field backbone, a detector's run, or any network to use as the backbone. Flags
    override fields of the backbone; --set also sets the detector's own, such as --set anchors.sizes=[16,32,64]. The
    classes follow the data; the canvas that images are scaled to fit is the backbone's --input-shape. Inspect it first
    with `reskeras detect show DETECTOR --data SOURCE`.

    Ctrl-C or SIGTERM stops training after the current step; the same command with --resume continues it.
    """
    train_as("detection", request, data, training)
