"""`reskeras predict`: classifies image files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .answers import AnswerFormat
from .classification_results import echo_predictions
from .output import json_option
from .paths import csv_option
from .run_options import run_and_images, served_options

if TYPE_CHECKING:
    from reskeras.client import Client


ANSWERS = AnswerFormat(
    ("image", "rank", "class", "probability"),
    lambda each: (
        [[each.path, rank, name, f"{probability:.6f}"] for rank, (name, probability) in enumerate(each.top, 1)]
        or [[each.path, "", "", ""]]
    ),
    echo_predictions,
)


@click.command(
    "predict",
    epilog="\b\nExamples:\n"
    "  reskeras predict saved_models/photos cat.jpg dog.png\n"
    "  reskeras predict saved_models/photos new-photos 'more/*.jpg' --csv predictions.csv\n"
    "  reskeras predict saved_models/photos cat.jpg --top 1 --json\n"
    "  curl -s https://example.org/cat.jpg | reskeras predict saved_models/photos -\n"
    "  reskeras predict --url http://localhost:8501/v1/models/photos cat.jpg",
)
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True), metavar="[RUN] IMAGE..."
)
@served_options
@click.option(
    "--top",
    type=click.IntRange(1, 1000),
    metavar="K",
    help="Number of classes to print.  [default: 5; for a multi-label run all above the threshold]",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    metavar="P",
    help="Leave out classes with a lower probability.  [default: 0; for a multi-label run 0.5]",
)
@csv_option
@json_option
def command(
    paths: tuple[Path, ...],
    top: int | None,
    threshold: float | None,
    csv: Path | None,
    as_json: bool,
    served: Client | None,
) -> None:
    """Classify image files with a run's best model and its own preprocessing, in float32.

    IMAGE is a file, a folder (all images below it), a quoted pattern, or - for an image on standard input. A file that
    cannot be read is reported and skipped, and the exit status is then 1; in JSON it has an "error".

    With --url there is no RUN: the files (JPEG or PNG) are sent unchanged to TensorFlow Serving's REST API, and the
    served model decodes and preprocesses them.
    """
    if served is None:
        run, paths = run_and_images(paths)
        from reskeras.tasks.classification.run import ClassifierRun

    asked = ClassifierRun(run) if served is None else served  # errors in the run are raised before the files are read
    ANSWERS.tell(paths, lambda files, broken: asked.predict(files, top, broken, threshold), csv, as_json)
