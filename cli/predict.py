"""`reskeras predict`: the likeliest classes of image files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from .output import emit_json
from .results import echo_predictions


@click.command(
    "predict",
    epilog="\b\nExamples:\n"
    "  reskeras predict saved_models/photos cat.jpg dog.png\n"
    "  reskeras predict saved_models/photos cat.jpg --top 1 --json\n"
    "  reskeras predict --url http://localhost:8501/v1/models/photos cat.jpg",
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="[RUN] IMAGE...")
@click.option("--url", metavar="URL", help="Ask a served model instead of a run's.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True,
              metavar="SECONDS", help="That each answer of --url may take.")
@click.option("--retries", type=click.IntRange(0, 20), default=3, show_default=True, metavar="N",
              help="When --url is busy or cannot be reached.")
@click.option("--top", type=click.IntRange(1, 1000), default=5, show_default=True, metavar="K", help="Classes to name.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(
    paths: tuple[Path, ...], top: int, as_json: bool, url: str | None, timeout: float, retries: int
) -> None:
    """The likeliest classes of image files, by a run's best model and its own preprocessing, in float32.

    With --url there is no RUN: the files go to TensorFlow Serving's REST API as they are (JPEG or PNG), and the model
    decodes and prepares them itself.
    """
    if url is not None:
        from reskeras.client import Client

        predictions = Client(url, timeout, retries).predict(paths, top)
    else:
        if len(paths) < 2:
            raise click.UsageError("say a run and at least one image, such as: saved_models/photos cat.jpg")
        from reskeras.api import Run

        predictions = Run(paths[0]).predict(paths[1:], top)
    if as_json:
        emit_json([asdict(prediction) for prediction in predictions])
    else:
        echo_predictions(predictions)
