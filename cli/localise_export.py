"""`reskeras localise export`: artefacts of a trained localiser or refiner, each verified on real images."""

from __future__ import annotations

import click

from reskeras.artefacts import kinds_listed

from .detect_options import ExportRequest, exporting_options


@click.command(
    "export",
    epilog="\b\nExamples:\n"
    "  reskeras localise export saved_models/where\n"
    "  reskeras localise export saved_models/where --to tflite --to tflite-float16\n"
    "  reskeras localise export saved_models/refined",
)
@exporting_options(
    f"{kinds_listed('localisation')}; for a refiner {kinds_listed('refinement')}; may be repeated.  "
    "[default: serving and tflite; for a refiner serving]"
)
def command(export: ExportRequest) -> None:
    """Export the best model of a localiser, or of a refiner with the localiser whose boxes it judges, and compare each
    artefact with it on real test images, box by box.

    A SavedModel takes whole image files (JPEG or PNG) or pixels of any size, and returns the best box of each class in
    pixels of the image, scores and class names, the likeliest first; its signature of_classes takes the names of
    classes too, such as a classifier's. With a refiner these are the five likeliest classes. A .tflite takes the pixels
    of a crop. An artefact that differs by more than its tolerance is set aside as rejected, and the exit status is 1.
    """
    from reskeras.runs import open_run
    from reskeras.tasks.localisation.run import LocaliserRun
    from reskeras.tasks.refinement.run import RefinerRun

    export.finish(RefinerRun if open_run(export.run).task == RefinerRun.task else LocaliserRun)
