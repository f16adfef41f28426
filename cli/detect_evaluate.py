"""`reskeras detect evaluate`: average precision of a trained detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from reskeras.files import atomic_file

from .detect_options import looking_options
from .detect_results import echo_detection_evaluation
from .output import echo, emit_json, json_option, note, progress
from .paths import Written, check_picture
from .run_options import data_options, run_argument


@click.command(
    "evaluate",
    epilog="\b\nExamples:\n"
    "  reskeras detect evaluate saved_models/resnet-18-detector-bccd\n"
    "  reskeras detect evaluate saved_models/resnet-18-detector-bccd --refine --scales 0.75,1,1.5\n"
    "  reskeras detect evaluate saved_models/resnet-18-detector-bccd --with saved_models/resnet-50-detector-bccd\n"
    "  reskeras detect evaluate saved_models/resnet-18-detector-bccd --split train --curves curves.svg --json",
)
@run_argument
@data_options
@click.option(
    "--split", type=click.Choice(["test", "train"]), default="test", show_default=True, help="Split to evaluate."
)
@looking_options
@click.option(
    "--curves", type=Written(), metavar="FILE", help="Plot each class's precision-recall curve: .png or .svg."
)
@click.option(
    "--pictures", type=Written(), metavar="FILE.png", help="Draw some images, with annotations beside detections."
)
@json_option
def command(
    run: Path,
    data: str | None,
    data_dir: Path | None,
    split: str,
    looked: dict[str, Any],
    others: tuple[Path, ...],
    curves: Path | None,
    pictures: Path | None,
    as_json: bool,
) -> None:
    """Measure the average precision of a detector's best model by the rules of VOC and COCO, the recall of its
    proposals, and its mistakes by kind, in float32, on the data it was trained on or on other data.

    --refine, --scales and --with are the test-time options of v1 appendix B, which take longer per image: an ensemble
    of three about nine times as long.
    """
    check_picture(curves, "--curves", (".png", ".svg"))
    check_picture(pictures, "--pictures")
    from reskeras.tasks.detection.options import Options
    from reskeras.tasks.detection.run import DetectorRun

    opened, options = DetectorRun(run), Options(**looked)
    with progress("detecting objects") as done:
        result = opened.evaluate(
            data, data_dir, split, options, done, lambda line: note(f"note: {line}", err=as_json), others
        )
    if curves:
        from reskeras.report.figures import save_figure
        from reskeras.tasks.detection.precision_plot import draw_precision

        save_figure(draw_precision(result.voc), curves)
    if pictures:
        from reskeras.tasks.detection.pictures import Pictures

        drawn = Pictures(getattr(opened.source(data, data_dir), split), result, tuple(opened.folder.classes())).grid()
        with atomic_file(pictures) as beside:
            drawn.save(beside)
    if as_json:
        emit_json(
            {
                **result.as_dict(),
                "with": [str(other) for other in others],
                "curves": str(curves) if curves else None,
                "pictures": str(pictures) if pictures else None,
            }
        )
        return
    echo_detection_evaluation(result, opened)
    for place, path in enumerate(filter(None, (curves, pictures))):
        if place == 0:
            echo()
        echo(f"written    {path}")
