"""`reskeras export`: artefacts of a trained run, each proven on real images."""

from __future__ import annotations

from pathlib import Path

import click

from .output import emit_json
from .results import echo_proofs
from .run_options import data_options, run_argument


@click.command(
    "export",
    epilog="\b\nExamples:\n"
    "  reskeras export saved_models/cifar-resnet-20-digits\n"
    "  reskeras export saved_models/cifar-resnet-20-digits --to tflite",
)
@run_argument
@click.option("--to", "kinds", multiple=True, metavar="KIND",
              help="serving (SavedModel for TensorFlow Serving) or tflite; may be repeated.  [default: both]")
@data_options
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(run: Path, kinds: tuple[str, ...], data: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Export a run's best model, and compare each artefact with it on real test images.

    Artefacts take raw pixels (0 to 255, float32, batch x height x width x channels); normalisation is inside.
    One that differs by more than its tolerance is kept aside as rejected, and the exit status is 1.
    """
    from reskeras.api import Run

    proofs = Run(run).export(*dict.fromkeys(kinds), data=data, data_dir=data_dir)
    if as_json:
        emit_json([proof.as_dict() for proof in proofs])
    else:
        echo_proofs(proofs)
