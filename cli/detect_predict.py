"""`reskeras detect predict`: the objects in image files."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .detect_options import looking_options
from .detect_results import echo_detections
from .output import echo, emit_json
from .run_options import run_and_images, served_options

if TYPE_CHECKING:
    from reskeras.client import Client


@click.command(
    "predict",
    epilog="\b\nExamples:\n"
    "  reskeras detect predict saved_models/resnet-18-detector-bccd cells.jpg\n"
    "  reskeras detect predict saved_models/resnet-18-detector-bccd photos/*.jpg --score 0.5 --out found\n"
    "  reskeras detect predict saved_models/resnet-18-detector-bccd cells.jpg --refine --json\n"
    "  reskeras detect predict --url http://localhost:8501/v1/models/resnet-18-detector cells.jpg",
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="[RUN] IMAGE...")
@served_options
@click.option("--score", type=float, metavar="P", help="Lowest probability that is told.  [default: the detector's, "
              "0.05 unless it says otherwise]")
@looking_options
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="A new folder for the images with boxes drawn in (without --score those of 0.5 or more), and for "
              "detections.json, in COCO's form.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(
    paths: tuple[Path, ...], score: float | None, looked: dict[str, Any], out: Path | None, as_json: bool,
    served: Client | None,
) -> None:
    """The objects in image files, by a detector's best model, in float32: their classes, probabilities and boxes.

    A box is told by its edges in pixels of the image as stored, from its upper left corner. With --url there is no RUN:
    the files (JPEG or PNG) go to TensorFlow Serving, whose answer is what the detector tells by itself.
    """
    if served is not None:
        if out or score is not None or any(looked.values()):
            raise click.UsageError("with --url the server decides how it looks: leave out --out, --score and the like")
        found = served.detect(paths)
    else:
        run, images = run_and_images(paths)
        from reskeras.detection.detector import Options
        from reskeras.detectors import DetectorRun

        found = DetectorRun(run).predict(images, out, score, Options(**looked))
    if as_json:
        emit_json([asdict(each) for each in found])
        return
    echo_detections(found)
    if out:
        echo()
        echo(f"written    {out}")
