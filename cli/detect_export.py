"""`reskeras detect export`: artefacts of a trained detector, each verified on real images."""

from __future__ import annotations

from pathlib import Path

import click

from reskeras.artefacts import kinds_listed

from .export import echo_exported
from .output import emit_json, working
from .run_options import data_options, numbers_by_name, run_argument


@click.command(
    "export",
    epilog="\b\nExamples:\n"
    "  reskeras detect export saved_models/resnet-18-detector-bccd\n"
    "  reskeras detect export saved_models/resnet-18-detector-bccd --tolerance serving=0.01 --no-timing\n"
    "  reskeras detect export saved_models/fasterrcnn --to torchvision-state-dict --data voc:VOC2007",
)
@run_argument
@click.option(
    "--to",
    "kinds",
    multiple=True,
    metavar="KIND",
    help=f"{kinds_listed('detection')}; may be repeated.  [default: serving]",
)
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="KIND=VALUE",
    help="Largest difference allowed in a probability, or in a corner as a fraction of the image's longer side.",
)
@click.option("--no-timing", is_flag=True, help="Skip the timings.")
@data_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(
    run: Path,
    kinds: tuple[str, ...],
    tolerances: tuple[str, ...],
    no_timing: bool,
    data: str | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Export a detector's best model, and compare each artefact with it on real test images, detection by detection.

    Artefacts take whole image files (JPEG or PNG) and return boxes in pixels of the image, scores and class names;
    decoding, scaling and non-maximum suppression are included. Weights for torchvision are compared in its own
    detector. An artefact that differs by more than its tolerance is set aside as rejected, and the exit status is 1.
    """
    allowed = numbers_by_name("tolerance", tolerances, "serving=0.01")
    from reskeras.tasks.detection.run import DetectorRun

    made = DetectorRun(run)
    with working("exporting"):
        proofs = made.export(
            *dict.fromkeys(kinds), data=data, data_dir=data_dir, tolerances=allowed, timing=not no_timing
        )
    if as_json:
        emit_json([proof.as_dict() for proof in proofs])
        return
    echo_exported(made, proofs, data)
