"""`reskeras detect predict`: detects objects in image files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .answers import AnswerFormat
from .detect_options import looking_options
from .detect_results import echo_detections
from .paths import Written, csv_option
from .run_options import run_and_images, served_options

if TYPE_CHECKING:
    from reskeras.client import Client


def _rows(image: Any) -> list[list[str]]:
    """The CSV lines of one image: one per object, or one with the image's name alone."""
    return [
        [image.path, each.name, f"{each.score:.6f}", *(f"{side:.2f}" for side in each.box)] for each in image.detections
    ] or [[image.path, *[""] * 6]]


ANSWERS = AnswerFormat(("image", "class", "score", "top", "left", "bottom", "right"), _rows, echo_detections)


@click.command(
    "predict",
    epilog="\b\nExamples:\n"
    "  reskeras detect predict saved_models/resnet-18-detector-bccd cells.jpg\n"
    "  reskeras detect predict saved_models/resnet-18-detector-bccd photos --score 0.5 --out found --csv found.csv\n"
    "  reskeras detect predict saved_models/resnet-18-detector-bccd cells.jpg --refine --json\n"
    "  reskeras detect predict saved_models/resnet-18-detector-bccd cells.jpg --with saved_models/other-detector\n"
    "  reskeras detect predict --url http://localhost:8501/v1/models/resnet-18-detector cells.jpg",
)
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True), metavar="[RUN] IMAGE..."
)
@served_options
@click.option(
    "--score",
    type=float,
    metavar="P",
    help="Lowest probability to report.  [default: the detector's own, 0.05 unless its file sets another]",
)
@looking_options
@click.option(
    "--out",
    type=Written(),
    metavar="DIR",
    help="Write the images with boxes drawn in (those of 0.5 or more without --score) and detections.json, in COCO "
    "format, to this new folder.",
)
@csv_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(
    paths: tuple[Path, ...],
    score: float | None,
    looked: dict[str, Any],
    others: tuple[Path, ...],
    out: Path | None,
    csv: Path | None,
    as_json: bool,
    served: Client | None,
) -> None:
    """Detect objects in image files with a detector's best model, in float32: classes, probabilities and boxes.

    IMAGE is a file, a folder (all images below it), a quoted pattern, or - for an image on standard input. A file that
    cannot be read is reported and skipped, and the exit status is then 1; in JSON it has an "error".

    A box is given by its edges in pixels of the image as displayed, from the upper left corner. With --url there is no
    RUN: the files (JPEG or PNG) are sent to TensorFlow Serving, which answers with the served model's own settings.
    """
    if served is not None and (out or score is not None or others or any(looked.values())):
        raise click.UsageError(
            "--url uses the served model's own settings; leave out --out, --score, --with, --refine, --scales, "
            "--shorter and --canonical"
        )
    if served is not None:
        ANSWERS.tell(paths, served.detect, csv, as_json)
        return
    run, paths = run_and_images(paths)
    from reskeras.tasks.detection.options import Options, check_score
    from reskeras.tasks.detection.run import DetectorRun

    opened, options = DetectorRun(run), Options(**looked)  # errors in these are raised before the files are read
    check_score(score)
    ANSWERS.tell(
        paths, lambda files, broken: opened.predict(files, out, score, options, broken, others), csv, as_json, out
    )
