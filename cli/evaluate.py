"""`reskeras evaluate`: accuracy of a trained run."""

from __future__ import annotations

from pathlib import Path

import click

from .output import emit_json
from .results import echo_evaluation
from .run_options import data_options, run_argument


@click.command(
    "evaluate",
    epilog="\b\nExamples:\n"
    "  reskeras evaluate saved_models/cifar-resnet-20-digits\n"
    "  reskeras evaluate saved_models/cifar-resnet-20-digits --split train --json",
)
@run_argument
@data_options
@click.option("--split", type=click.Choice(["test", "train"]), default="test", show_default=True,
              help="Which images.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(run: Path, data: str | None, data_dir: Path | None, split: str, as_json: bool) -> None:
    """Accuracy and loss of a run's best model, in float32, on the data it was trained on or on other data."""
    from reskeras.api import Run

    result = Run(run).evaluate(data, data_dir, split)
    if as_json:
        emit_json(result.as_dict())
    else:
        echo_evaluation(result)
