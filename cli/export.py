"""`reskeras export`: artefacts of a trained run, each verified on real images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reskeras.addresses import copies_named
from reskeras.artefacts import VERIFIED, kinds_listed

from .cards import card_fact
from .classification_results import echo_noise, echo_proofs
from .output import command_line, echo, emit_json, heading, json_option, prose
from .run_options import batch_option, data_options, images_option, kinds_option, numbers_by_name, run_argument

if TYPE_CHECKING:
    from reskeras.export.proof import Proof
    from reskeras.tasks.run import Run


@click.command(
    "export",
    epilog="\b\nExamples:\n"
    "  reskeras export saved_models/cifar-resnet-20-digits\n"
    "  reskeras export saved_models/cifar-resnet-20-digits --to tflite --to tflite-int8\n"
    "  reskeras export saved_models/cifar-resnet-20-digits --to onnx --to openvino --batch 1\n"
    "  reskeras export saved_models/resnet18 --to torchvision-state-dict\n"
    "  reskeras export saved_models/photos --to tflite-int8 --representative 500 --tolerance tflite-int8=0.02",
)
@run_argument
@kinds_option(f"{kinds_listed('classification')}; may be repeated.  [default: serving and tflite]")
@click.option(
    "--pixels",
    default="uint8",
    show_default=True,
    metavar="TYPE",
    help="Pixel type that all but .tflite files take: uint8 or float32, both 0 to 255.",
)
@click.option(
    "--representative",
    type=int,
    default=200,
    show_default=True,
    metavar="N",
    help="Number of training images, balanced by class, to calibrate quantised kinds on.",
)
@batch_option
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="KIND=VALUE",
    help="Largest difference allowed for a kind, instead of its default; may be repeated.",
)
@click.option(
    "--keep-float", multiple=True, metavar="LAYER", help="Layer that int8 kinds keep in float32; may be repeated."
)
@click.option("--explain", "explained", is_flag=True, help="Rank the layers of int8 kinds by quantisation noise.")
@images_option(VERIFIED)
@click.option("--no-timing", is_flag=True, help="Skip the timings.")
@data_options
@json_option
def command(
    run: Path,
    kinds: tuple[str, ...],
    data: str | None,
    data_dir: Path | None,
    as_json: bool,
    pixels: str,
    representative: int,
    tolerances: tuple[str, ...],
    keep_float: tuple[str, ...],
    batch: int | None,
    explained: bool,
    images: int,
    no_timing: bool,
) -> None:
    """Export a run's best model, and compare each artefact with it on real test images.

    Artefacts take raw pixels (0 to 255, batch x height x width x channels); normalisation is included. The tolerance of
    float kinds is a fraction of the largest logit, that of integer kinds the fraction of images whose top class may
    differ. An artefact that differs by more is set aside as rejected, and the exit status is 1. A model card,
    README.md, is written beside them, with the figures of the run's latest report.
    """
    from reskeras.tasks.classification.run import ClassifierRun

    allowed = numbers_by_name("tolerance", tolerances, "tflite-int8=0.02")
    made = ClassifierRun(run)
    proofs = made.export(
        *dict.fromkeys(kinds),
        data=data,
        data_dir=data_dir,
        pixels=pixels,
        tolerances=allowed,
        representative=representative,
        keep_float=keep_float,
        images=images,
        batch=batch,
        timing=not no_timing,
    )
    noise = {kind: made.explain(kind, data, data_dir, representative) for kind in kinds if explained and "int8" in kind}
    if as_json:
        emit_json(
            [{**proof.as_dict(), "layers": [asdict(each) for each in noise.get(proof.kind, [])]} for proof in proofs]
        )
        return
    echo_exported(made, proofs, data)
    for kind, layers in noise.items():
        echo()
        heading(kind, "signal-to-quantisation-noise ratio, noisiest layers first")
        echo_noise(layers)


def echo_exported(run: Run, proofs: Sequence[Proof], data: str | None) -> None:
    """Print the proofs of the exported artefacts, measured on `data`, and how to start a server with them."""
    from reskeras.export.server import commands_for

    echo_proofs(proofs, card_fact(run.folder.export_folder))
    if data is None and "data" not in run.folder.provenance():
        echo()
        prose(
            "Verified on random images, because a ported run has no data: the accuracies are meaningless. Use --data "
            "for real images."
        )
    if any(proof.kind == "serving" for proof in proofs):
        echo()
        with copies_named():  # servers read the copy of a remote run
            for words in commands_for(run.folder.export_folder):
                echo(command_line(*words))
