"""`reskeras localise evaluate`: the localisation error of a trained localiser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .localise_options import locating_options
from .localise_results import echo_localisation
from .output import emit_json, json_option, note, progress
from .run_options import data_options, run_argument


@click.command(
    "evaluate",
    epilog="\b\nExamples:\n"
    "  reskeras localise evaluate saved_models/cifar-resnet-20-localiser-digits-loc\n"
    "  reskeras localise evaluate saved_models/cifar-resnet-20-localiser-digits-loc --dense 56,64\n"
    "  reskeras localise evaluate saved_models/where --refiner saved_models/refined\n"
    "  reskeras localise evaluate saved_models/where --classifier saved_models/what --json",
)
@run_argument
@data_options
@click.option(
    "--split", type=click.Choice(["test", "train"]), default="test", show_default=True, help="Split to evaluate."
)
@locating_options(
    "A classifier of the same classes, which decides the classes of an image; the errors with these are printed too."
)
@json_option
def command(
    run: Path, data: str | None, data_dir: Path | None, split: str, looked: dict[str, Any], as_json: bool
) -> None:
    """Measure the localisation error of a localiser's best model by the rule of ILSVRC, in float32, on the data it was
    trained on or on other data: an image is right if a box overlaps an object of its class with an IoU of at least 0.5.
    """
    from reskeras.tasks.localisation.run import LocaliserRun

    opened = LocaliserRun(run)
    with progress("looking for objects") as done:
        result = opened.evaluate(
            data, data_dir, split, progress=done, tell=lambda line: note(f"note: {line}", err=as_json), **looked
        )
    if as_json:
        emit_json(result.as_dict())
    else:
        echo_localisation(result, opened)
