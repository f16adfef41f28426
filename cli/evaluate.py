"""`reskeras evaluate`: accuracy of a trained run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reskeras.errors import ReskerasError
from reskeras.tasks.task import find_task, other_task

from .output import echo, emit_json, json_option, note
from .paths import Written
from .run_options import data_options, listed_numbers, run_argument
from .shown import BY_CLASS, echo_classes, echo_result

if TYPE_CHECKING:
    from reskeras.tasks.run import Run

OWN = "classification"


@click.command(
    "evaluate",
    epilog="\b\nExamples:\n"
    "  reskeras evaluate saved_models/cifar-resnet-20-digits\n"
    "  reskeras evaluate saved_models/cifar-resnet-20-digits --views 10 --confusion confusion.png\n"
    "  reskeras evaluate saved_models/photos --scales 224,256,384\n"
    "  reskeras evaluate saved_models/cifar-resnet-20-digits --split train --json",
)
@run_argument
@data_options
@click.option(
    "--split", type=click.Choice(["test", "train"]), default="test", show_default=True, help="Split to evaluate."
)
@click.option(
    "--views",
    type=int,
    default=1,
    show_default=True,
    metavar="[1|2|6|10]",
    help="Views of each image to average over: with its mirror image (2), both shifted by a pixel too (6), ten crops.",
)
@click.option("--resize", type=int, metavar="PIXELS", help="Side of the square that the ten crops are cut from.")
@click.option("--scales", metavar="S,S,...", help="Average over whole and mirrored images with these shorter sides.")
@click.option(
    "--recalibrate", type=click.IntRange(1), metavar="N", help="Recompute batch norm statistics over N images."
)
@click.option("--save-recalibrated", is_flag=True, help="Save the recomputed statistics in the run's model.")
@click.option(
    "--classes", "by_class", is_flag=True, help="Print the accuracy of each class and the most common mistakes."
)
@click.option("--confusion", type=Written(), metavar="FILE", help="Write the confusion matrix: .png, .svg or .csv.")
@click.option("--predictions", type=Written(), metavar="FILE", help="Write a CSV file with one line per image.")
@json_option
def command(
    run: Path,
    data: str | None,
    data_dir: Path | None,
    split: str,
    views: int,
    resize: int | None,
    scales: str | None,
    recalibrate: int | None,
    save_recalibrated: bool,
    by_class: bool,
    confusion: Path | None,
    predictions: Path | None,
    as_json: bool,
) -> None:
    """Measure accuracy and loss of a run's best model, in float32, on the data it was trained on or on other data; for
    multi-label runs, mean average precision instead of accuracy."""
    looked = {
        "views": views,
        "resize": resize,
        "scales": listed_numbers("scales", scales, int, "224,256,384"),
        "recalibrate": recalibrate or 0,
        "save": save_recalibrated,
    }
    from reskeras.tasks.classification.confusion_plot import check_kind, save_confusion
    from reskeras.tasks.run import Run

    opened: Run[Any] = Run(run)
    written = {"confusion": confusion, "predictions": predictions, "classes": by_class}
    _check_task(opened, looked, written)
    if confusion:
        check_kind(confusion)
    result = opened.evaluate(
        data,
        data_dir,
        split,
        tell=lambda line: note(f"note: {line}", err=as_json),
        **(looked if opened.task in BY_CLASS else {}),
    )
    if confusion:
        save_confusion(result, confusion)
    if predictions:
        result.save_predictions(predictions)
    if as_json:
        emit_json(result.as_dict())
        return
    echo_result(result, opened)
    if by_class:
        echo_classes(result, opened)
    for path in filter(None, (confusion, predictions)):
        echo(f"written    {path}")


def _check_task(run: Run, looked: Mapping[str, Any], written: Mapping[str, Any]) -> None:
    """ReskerasError (status 2) for a run whose task has its own commands, and for flags that do not apply to it."""
    own = find_task(run.task)
    if own.program != find_task(OWN).program:
        raise other_task(run.path, run.task, OWN)
    given = [name for name, value in {**looked, **written}.items() if value and (name, value) != ("views", 1)]
    if run.task in BY_CLASS:
        given = ["confusion"] if run.task != OWN and written["confusion"] else []
    if run.task != OWN and given:
        raise ReskerasError(f"{given[0]}: only for classifiers; {run.path} is a {own.noun}")
