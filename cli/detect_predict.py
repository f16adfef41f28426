"""`reskeras detect predict`: detects objects in image and video files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .answers import AnswerFormat
from .detect_options import class_names, looking_options, written_options
from .detect_results import echo_detections
from .output import json_option, progress
from .paths import csv_option
from .run_options import Broken, run_and_images, served_options

if TYPE_CHECKING:
    from reskeras.client import Client
    from reskeras.tasks.detection.detections import Found

TITLES = ("image", "class", "score", "top", "left", "bottom", "right")
OF_FRAMES = ("frame", "seconds")


def _rows(image: Any) -> list[list[str]]:
    """The CSV lines of one image: one per object, or one with the image's name alone."""
    at = [str(image.frame), f"{image.time:.3f}"] if hasattr(image, "frame") else []
    return [
        [image.path, each.name, f"{each.score:.6f}", *(f"{side:.2f}" for side in each.box), *at]
        for each in image.detections
    ] or [[image.path, *[""] * 6, *at]]


ANSWERS = AnswerFormat(TITLES, _rows, echo_detections, OF_FRAMES)


@click.command(
    "predict",
    epilog="\b\nExamples:\n"
    "  reskeras detect predict saved_models/resnet-18-detector-bccd cells.jpg\n"
    "  reskeras detect predict saved_models/resnet-18-detector-bccd photos --score 0.5 --out found --csv found.csv\n"
    "  reskeras detect predict saved_models/resnet-18-detector-bccd clip.mp4 --classes RBC,WBC --out found\n"
    "  reskeras detect predict saved_models/resnet-18-detector-bccd slide.png --tile 640 --coco found.json\n"
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
@click.option("--classes", metavar="NAME,...", help="Find only objects of these classes.")
@click.option(
    "--tile",
    type=int,
    metavar="PIXELS",
    help="Also look at larger images in overlapping square tiles of this side, to find small objects.",
)
@click.option(
    "--tile-overlap",
    type=int,
    metavar="PIXELS",
    help="Least overlap of tiles; use the size of the largest objects that only tiles show.  [default: a quarter]",
)
@looking_options
@written_options(
    "Write the images and videos with boxes drawn in (those of 0.5 or more without --score) and detections.json, in "
    "COCO format, to this new folder."
)
@csv_option
@json_option
def command(
    paths: tuple[Path, ...],
    score: float | None,
    classes: str | None,
    tile: int | None,
    tile_overlap: int | None,
    looked: dict[str, Any],
    others: tuple[Path, ...],
    csv: Path | None,
    as_json: bool,
    served: Client | None,
    written: dict[str, Path | None],
) -> None:
    """Detect objects in image and video files with a detector's best model, in float32: classes, scores and boxes.

    IMAGE is a file, a folder (all images and videos below it), a quoted pattern, or - for an image on standard input. A
    file that cannot be read is reported and skipped, and the exit status is then 1; in JSON it has an "error".

    A box is given by its edges in pixels of the image as displayed, from the upper left corner. Every frame of a
    video has an entry in JSON and in CSV, with its number and its time in seconds; videos need
    pip install 'reskeras[video]'.

    With --url there is no RUN: the files (JPEG or PNG) are sent to TensorFlow Serving, which answers with the served
    model's own settings.
    """
    own = (*written.values(), score, classes, tile, tile_overlap)
    if served is not None and (others or any(looked.values()) or any(each is not None for each in own)):
        raise click.UsageError(
            "--url uses the served model's own settings; leave out --out, --score, --with and all others but --csv and "
            "--json"
        )
    if served is not None:
        ANSWERS.tell(paths, served.detect, csv, as_json)
        return
    run, paths = run_and_images(paths)
    from reskeras.tasks.detection.detections_folder import Places
    from reskeras.tasks.detection.options import Options, Tiling, check_score, class_numbers
    from reskeras.tasks.detection.run import DetectorRun

    # errors in these are raised before the files are read
    opened, options, places = DetectorRun(run), Options(**looked), Places(**written)
    known = opened.folder.classes()
    wanted = class_names(classes, known)
    class_numbers(known, wanted)
    check_score(score)
    if tile is None and tile_overlap is not None:
        raise click.UsageError("--tile-overlap needs --tile PIXELS")
    tiling = None if tile is None else Tiling(tile, tile_overlap)

    def ask(files: Sequence[Path], broken: Broken) -> Sequence[Found]:
        with progress("detecting") as shown:
            return opened.predict(
                files,
                None,
                score,
                options,
                broken,
                others,
                classes=wanted,
                tiling=tiling,
                places=places,
                progress=shown,
            )

    del written["annotations"]
    ANSWERS.tell(paths, ask, csv, as_json, *written.values())
