"""`reskeras detect export`: artefacts of a trained detector, each verified on real images."""

from __future__ import annotations

import click

from reskeras.artefacts import kinds_listed

from .detect_options import ExportRequest, exporting_options


@click.command(
    "export",
    epilog="\b\nExamples:\n"
    "  reskeras detect export saved_models/resnet-18-detector-bccd\n"
    "  reskeras detect export saved_models/resnet-18-detector-bccd --tolerance serving=0.01 --no-timing\n"
    "  reskeras detect export saved_models/fasterrcnn --to torchvision-state-dict --data voc:VOC2007",
)
@exporting_options(f"{kinds_listed('detection')}; may be repeated.  [default: serving]")
def command(export: ExportRequest) -> None:
    """Export a detector's best model, and compare each artefact with it on real test images, detection by detection.

    Artefacts take whole image files (JPEG or PNG) and return boxes in pixels of the image, scores and class names;
    decoding, scaling and non-maximum suppression are included. Weights for torchvision are compared in its own
    detector. An artefact that differs by more than its tolerance is set aside as rejected, and the exit status is 1.
    """
    from reskeras.tasks.detection.run import DetectorRun

    export.finish(DetectorRun)
