"""`reskeras benchmark`: how fast a run's exported artefacts are on this machine, and what memory they need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from reskeras.artefacts import THREADS, TURNS

from .classification_results import echo_measured
from .output import emit_json, json_option, working
from .run_options import data_options, kinds_option, run_argument


@click.command(
    "benchmark",
    epilog="\b\nExamples:\n"
    "  reskeras benchmark saved_models/cifar-resnet-20-digits\n"
    "  reskeras benchmark saved_models/cifar-resnet-20-digits --to tflite --to tflite-int8 --turns 10\n"
    "  reskeras benchmark saved_models/resnet-18-detector-bccd --threads 4 --json",
)
@run_argument
@kinds_option("Kind of artefact; may be repeated.  [default: all in the export folder]")
@click.option(
    "--threads", type=int, default=THREADS, show_default=True, metavar="N", help="Threads that each computes with."
)
@click.option(
    "--turns", type=int, default=TURNS, show_default=True, metavar="N", help="Number of times that each has its turn."
)
@data_options
@json_option
def command(
    run: Path, kinds: tuple[str, ...], threads: int, turns: int, data: str | None, data_dir: Path | None, as_json: bool
) -> None:
    """Measure the artefacts that a run was exported as, of any task, on this machine and on real test images.

    Each is run by its runtime on the processor, in a process of its own, one after the other in turns: the time of one
    image and of a batch, images a second, the time that opening it takes, and by how much memory the process grows.
    Accuracies are those of the export. Figures in the export folder (report.json, report.csv, report.png, the card) are
    renewed.
    """
    from reskeras.tasks.run import Run

    made: Run[Any] = Run(run)
    with working("measuring"):
        proofs = made.benchmark(*dict.fromkeys(kinds), data=data, data_dir=data_dir, threads=threads, turns=turns)
    if as_json:
        emit_json([proof.as_dict() for proof in proofs])
    else:
        echo_measured(proofs, made.folder.export_folder)
