"""`reskeras predict`: the likeliest classes of image files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .output import emit_json
from .results import echo_predictions
from .run_options import run_and_images, served_options

if TYPE_CHECKING:
    from reskeras.client import Client


@click.command(
    "predict",
    epilog="\b\nExamples:\n"
    "  reskeras predict saved_models/photos cat.jpg dog.png\n"
    "  reskeras predict saved_models/photos cat.jpg --top 1 --json\n"
    "  reskeras predict --url http://localhost:8501/v1/models/photos cat.jpg",
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="[RUN] IMAGE...")
@served_options
@click.option("--top", type=click.IntRange(1, 1000), default=5, show_default=True, metavar="K", help="Classes to name.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(paths: tuple[Path, ...], top: int, as_json: bool, served: Client | None) -> None:
    """The likeliest classes of image files, by a run's best model and its own preprocessing, in float32.

    With --url there is no RUN: the files go to TensorFlow Serving's REST API as they are (JPEG or PNG), and the model
    decodes and prepares them itself.
    """
    if served is not None:
        predictions = served.predict(paths, top)
    else:
        run, images = run_and_images(paths)
        from reskeras.api import Run

        predictions = Run(run).predict(images, top)
    if as_json:
        emit_json([asdict(prediction) for prediction in predictions])
    else:
        echo_predictions(predictions)
