"""`reskeras predict`: the likeliest classes of image files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from .output import emit_json
from .results import echo_predictions
from .run_options import run_argument


@click.command(
    "predict",
    epilog="\b\nExamples:\n"
    "  reskeras predict saved_models/photos cat.jpg dog.png\n"
    "  reskeras predict saved_models/photos cat.jpg --top 1 --json",
)
@run_argument
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(1, 1000), default=5, show_default=True, metavar="K", help="Classes to name.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(run: Path, images: tuple[Path, ...], top: int, as_json: bool) -> None:
    """The likeliest classes of image files, by a run's best model and its own preprocessing, in float32."""
    from reskeras.api import Run

    predictions = Run(run).predict(images, top)
    if as_json:
        emit_json([asdict(prediction) for prediction in predictions])
    else:
        echo_predictions(predictions)
