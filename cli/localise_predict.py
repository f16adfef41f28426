"""`reskeras localise predict`: where objects are in image files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .answers import AnswerFormat
from .detect_options import class_names, written_options
from .localise_options import locating_options
from .localise_results import echo_locations
from .output import json_option, note, progress
from .paths import csv_option
from .run_options import Broken, run_and_images, served_options

if TYPE_CHECKING:
    from reskeras.client import Client

TITLES = ("image", "class", "score", "top", "left", "bottom", "right", "probability")


def _rows(image: Any) -> list[list[str]]:
    """The CSV lines of one image: one per class, or one with the image's name alone."""
    return [
        [image.path, each.name, f"{each.score:.6f}", *(f"{side:.2f}" for side in each.box), _probability(each)]
        for each in image.detections
    ] or [[image.path, *[""] * 7]]


def _probability(found: Any) -> str:
    probability = getattr(found, "probability", None)
    return "" if probability is None else f"{probability:.6f}"


ANSWERS = AnswerFormat(TITLES, _rows, echo_locations)


@click.command(
    "predict",
    epilog="\b\nExamples:\n"
    "  reskeras localise predict saved_models/where seven.png\n"
    "  reskeras localise predict saved_models/where photos --classifier saved_models/what --top 5 --out found\n"
    "  reskeras localise predict saved_models/where seven.png --classes 7 --refiner saved_models/refined --json\n"
    "  reskeras localise predict --url http://localhost:8501/v1/models/cifar-resnet-20-localiser seven.png",
)
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path, allow_dash=True), metavar="[RUN] IMAGE..."
)
@served_options
@click.option("--top", type=click.IntRange(1, 1000), metavar="K", help="Number of classes to report.  [default: 1]")
@click.option("--classes", metavar="NAME,...", help="Say where these classes are, instead of the likeliest.")
@locating_options("A classifier of the same classes, which decides the classes of an image.")
@written_options("Write the images with boxes drawn in and detections.json, in COCO format, to this new folder.")
@csv_option
@json_option
def command(
    paths: tuple[Path, ...],
    top: int | None,
    classes: str | None,
    looked: dict[str, Any],
    written: dict[str, Path | None],
    csv: Path | None,
    as_json: bool,
    served: Client | None,
) -> None:
    """Say where in image files the object of a class is, with a localiser's best model, in float32: class, score and
    box.

    The classes are those that --classifier finds likeliest or that --classes names. Without either they are those whose
    boxes the localiser finds likeliest, which it was not made to decide. A score is the probability that the box is on
    an object of its class. IMAGE is a file, a folder (all images below it), a quoted pattern, or - for an image on
    standard input. A file that cannot be read is reported and skipped, and the exit status is then 1; in JSON it has an
    "error".

    A box is given by its edges in pixels of the image as displayed, from the upper left corner.

    With --url there is no RUN: the files (JPEG or PNG) are sent to TensorFlow Serving, which looks at the centre crop.
    """
    if served is not None:
        if classes is not None or any(looked[name] for name in ("others", "refiner", "classifier")):
            raise click.UsageError(
                "--url uses the served model as it is; leave out --classes, --classifier, --refiner and --with"
            )
        if looked["views"].dense or any(written.values()):
            raise click.UsageError(
                "--url looks at the centre crop and writes only --csv and --json; leave out the other options"
            )
        ANSWERS.tell(paths, lambda files, broken: _first(served.detect(files, broken), top or 1), csv, as_json)
        return
    run, paths = run_and_images(paths)
    from reskeras.tasks.detection.detections_folder import Places
    from reskeras.tasks.localisation.run import LocaliserRun

    opened, places = LocaliserRun(run), Places(**written)  # errors in these are raised before the files are read
    named = class_names(classes, opened.folder.classes())

    def ask(files: Sequence[Path], broken: Broken) -> Sequence[Any]:
        with progress("looking for objects") as shown:
            found = opened.predict(files, top, broken=broken, classes=named, places=places, progress=shown, **looked)
        if found and named is None and looked["classifier"] is None:
            note("note: without --classifier or --classes, the class is that of the likeliest box", err=True)
        return found

    del written["annotations"]
    ANSWERS.tell(paths, ask, csv, as_json, *written.values())


def _first(found: Sequence[Any], top: int) -> list[Any]:
    """The likeliest boxes of each image."""
    return [replace(each, detections=each.detections[:top]) for each in found]
