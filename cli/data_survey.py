"""`reskeras data SOURCE`: a survey of a data source, and a contact sheet of a recipe's augmentation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reskeras.documents.fields import shape_from_text
from reskeras.errors import ReskerasError
from reskeras.files import write_csv
from reskeras.readers import CLASSES, OBJECTS, usages

from .completion import complete_recipe, complete_source
from .output import echo, emit_json, json_option, working
from .paths import Written, check_picture, data_dir_option
from .surveys import echo_object_survey, echo_survey

if TYPE_CHECKING:
    from reskeras.data.survey import Survey
    from reskeras.recipes.recipe import Recipe
    from reskeras.tasks.detection.object_statistics import ObjectSurvey

Size = tuple[int, int]

SMALLEST, LARGEST = 32, 224  # bounds of the sheet's image size where none is given
MOST_PIXELS = 2048
BACKBONE = "resnet-18"  # for the default anchors that objects are compared with; they depend on the canvas alone
SMALLEST_CANVAS, LARGEST_CANVAS = 32, 8192


@click.command(
    "survey",
    help=f"""Survey the images of SOURCE by class and size, and warn of problems for training.

    SOURCE is {usages(CLASSES)}; or annotated images for detectors: {usages(OBJECTS)}, or just the path of such a
    folder, whose objects are counted by class and compared with a detector's default anchors. Sizes are measured on at
    most 2,000 evenly spaced images, or on all images if they are annotated.""",
    epilog="\b\nExamples:\n"
    "  reskeras data digits\n"
    "  reskeras data folder:photos --sheet photos.png --input-shape 64x64\n"
    "  reskeras data voc:VOC2007 --input-shape 600x1000 --sheet voc.png\n"
    "  reskeras data export-from-roboflow --sheet boxes.png\n"
    "  reskeras data cifar10 --data-dir ~/tensorflow_datasets --recipe mine.yaml --sheet cifar.png",
)
@click.argument("source", shell_complete=complete_source)
@data_dir_option
@click.option(
    "--recipe",
    metavar="RECIPE",
    shell_complete=complete_recipe,
    help="Recipe whose augmentation the sheet shows: a name or a YAML file.  "
    "[default: quick; detector for annotated images]",
)
@click.option(
    "--sheet", type=Written(dir_okay=False), metavar="FILE.png", help="Draw images next to augmented versions of them."
)
@click.option(
    "--input-shape",
    metavar="HxW[xC]",
    help="Size of the augmented images, or the canvas of annotated ones.  [default: the median size, limited to 32 to "
    "224 pixels unless the images are annotated]",
)
@click.option(
    "--shorter",
    type=int,
    metavar="PIXELS",
    help="Scale annotated images to this shorter side, on several canvases: a detector's resize.shorter.",
)
@click.option(
    "--places",
    type=Written(dir_okay=False),
    metavar="FILE.csv",
    help="For annotated images: write a CSV line for each image, file or object that a note counts, with what was left "
    "out or changed, where, and how often.",
)
@json_option
def command(
    source: str,
    data_dir: Path | None,
    recipe: str | None,
    sheet: Path | None,
    input_shape: str | None,
    shorter: int | None,
    places: Path | None,
    as_json: bool,
) -> None:
    """Survey a source; help is above."""
    from reskeras.recipes.recipe import recipe as read_recipe

    size = _size(input_shape)
    if size and shorter is not None:
        raise ReskerasError("--shorter: contradicts --input-shape; the canvases follow from the shorter side")
    chosen = read_recipe(recipe or "quick")  # wrong requests fail before TensorFlow loads
    check_picture(sheet, "--sheet")
    from reskeras.tasks.detection.opening import annotates_objects

    show: Callable[[], None]
    if annotates_objects(source, data_dir):
        resize = {} if shorter is None else {"settings": (f"resize.shorter={shorter}",)}
        chosen = chosen if recipe else read_recipe("detector")
        objects = _of_objects(source, data_dir, chosen, size, resize, sheet, places)
        figures, show = objects.as_dict(), partial(echo_object_survey, objects)
    else:
        _refuse_of_objects(source, data_dir, shorter, places)
        images = _of_images(source, data_dir, chosen, size, sheet)
        figures, show = images.as_dict(), partial(echo_survey, images)
    if as_json:
        emit_json({**figures, "sheet": str(sheet) if sheet else None, "places": str(places) if places else None})
        return
    show()
    if sheet is not None or places is not None:
        echo()
    if sheet is not None:
        echo(f"drawn  {sheet}")
    if places is not None:
        echo(f"listed  {places}")


def _refuse_of_objects(source: str, data_dir: Path | None, shorter: int | None, places: Path | None) -> None:
    """ReskerasError for flags of annotated images on others; for what cannot be opened at all, that it cannot."""
    from reskeras.data.registry import open_source

    if shorter is None and places is None:
        return
    open_source(source, data_dir)
    if shorter is not None:
        raise ReskerasError(f"--shorter: {source} has no annotated objects; use --input-shape")
    raise ReskerasError(f"--places: {source} has no annotated objects; the notes say what is skipped")


def _of_images(source: str, data_dir: Path | None, recipe: Recipe, size: Size | None, sheet: Path | None) -> Survey:
    """Survey a source of classified images, and draw its sheet."""
    from reskeras.data.registry import open_source
    from reskeras.data.survey import survey

    with working(f"reading {source}"):
        opened = open_source(source, data_dir)
        found = survey(opened)
    if sheet is not None:
        from reskeras.report.sheet import contact_sheet

        contact_sheet(sheet, opened, recipe, *(size or _bounded(found.sizes.median, SMALLEST, LARGEST)))
    return found


def _of_objects(
    source: str,
    data_dir: Path | None,
    recipe: Recipe,
    size: Size | None,
    resize: dict[str, Any],
    sheet: Path | None,
    places: Path | None,
) -> ObjectSurvey:
    """Survey annotated images with a detector's anchors on its canvases, draw the sheet, list the places."""
    from reskeras.data.survey import size_range
    from reskeras.networks.detector_plan import lower_detector
    from reskeras.networks.request import detector
    from reskeras.tasks.detection.object_statistics import survey_objects
    from reskeras.tasks.detection.opening import open_objects

    with working(f"reading {source}"):
        opened = open_objects(source, data_dir)
        typical = size_range(opened.training_images("data").sizes).median
        canvas = size or _bounded(typical, SMALLEST_CANVAS, LARGEST_CANVAS)
        shape = None if resize else [*canvas, opened.channels]
        plan = lower_detector(detector(BACKBONE, input_shape=shape, **resize))
        found = survey_objects(opened, plan)
    if places is not None:
        write_csv(places, [("what", "where", "times"), *opened.places])
    if sheet is not None:
        from reskeras.tasks.detection.canvas import Canvases
        from reskeras.tasks.detection.object_sheet import object_sheet

        canvases = Canvases.of(plan)
        object_sheet(sheet, opened, recipe, *canvases.hull, canvases.sides)
    return found


def _size(typed: str | None) -> Size | None:
    """`64x64` or `64x64x3` to height and width."""
    if typed is None:
        return None
    try:
        height, width, channels = shape_from_text(typed)
    except ValueError as error:
        raise ReskerasError(f"--input-shape: {typed!r}: {error}") from None
    if not all(1 <= side <= MOST_PIXELS for side in (height, width)) or channels == 0:
        raise ReskerasError(
            f"--input-shape: {typed!r}: should have a height and width between 1 and {MOST_PIXELS} pixels, and at "
            "least 1 channel"
        )
    return height, width


def _bounded(size: Size, smallest: int, largest: int) -> Size:
    height, width = (min(max(side, smallest), largest) for side in size)
    return height, width
