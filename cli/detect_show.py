"""`reskeras detect show`: describes a detector, its costs, and how its anchors fit objects."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reskeras.errors import ReskerasError
from reskeras.readers import OBJECTS, usages

from .completion import complete_objects, complete_recipe
from .network_options import NetworkRequest, network_options
from .output import echo, echo_text, emit_json, working
from .paths import Written, check_picture, data_dir_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reskeras.recipes.recipe import Recipe
    from reskeras.tasks.detection.object_statistics import CanvasCount


@click.command(
    "show",
    epilog="\b\nExamples:\n"
    "  reskeras detect show resnet-50 --input-shape 600x800x3\n"
    "  reskeras detect show resnet-18 --input-shape 240x320x3 --set anchors.sizes=[16,32,64,128] --data voc:bccd\n"
    "  reskeras detect show resnet-101 --input-shape 600x1000x3 --set regions.context=true --yaml > mine.yaml\n"
    "  reskeras detect show resnet-101 --set resize.shorter=600 --data voc:VOC2007\n"
    "  reskeras detect show resnet-18 --data voc:bccd --recipe mine.yaml --batch batch.png",
)
@network_options(metavar="[DETECTOR]")
@click.option(
    "--data",
    metavar="SOURCE",
    shell_complete=complete_objects,
    help=f"Compare the anchors with the training objects of {usages(OBJECTS)}.",
)
@data_dir_option
@click.option(
    "--recipe",
    metavar="RECIPE",
    shell_complete=complete_recipe,
    help="Recipe with which --batch augments images: a name or a YAML file.  [default: the one in DETECTOR's file, "
    "else detector]",
)
@click.option(
    "--batch",
    type=Written(dir_okay=False),
    metavar="FILE.png",
    help="Draw the first batch of training on --data: augmented images with their boxes.",
)
@click.option("--yaml", "form", flag_value="yaml", help="Print the sparse spec, as a file to edit.")
@click.option("--resolved", "form", flag_value="resolved", help="Print the spec with every default filled in.")
@click.option("--json", "form", flag_value="json", help="Print JSON, for programs.")
def command(
    request: NetworkRequest,
    data: str | None,
    data_dir: Path | None,
    recipe: str | None,
    batch: Path | None,
    form: str | None,
) -> None:
    """Describe a detector stage by stage, with its costs, before anything is built.

    DETECTOR is a YAML file with the field backbone, a detector's run, or any network to use as the backbone. Flags
    override fields of the backbone; --set also sets the detector's own, such as --set anchors.sizes=[16,32,64]. Images
    are scaled to fit a canvas of the backbone's input shape or, with --set resize.shorter=600, to that shorter side, on
    the smallest of several canvases.

    With --data a table gives the share of training objects that have an anchor with an IoU of at least 0.5 and at least
    0.7: choose sizes and ratios that cover most of them.
    """
    from reskeras.documents.document import to_yaml
    from reskeras.networks.overrides import laid_over
    from reskeras.networks.request import detector

    from .detector_overview import DetectorOverview, echo_anchors
    from .surveys import echo_canvases

    augmented_by = _recipe_of_batch(request, data, recipe, batch, form)
    spec = detector(request.source, settings=request.settings, **request.fields)
    if form in ("yaml", "resolved"):
        chosen = spec.sparse() if form == "yaml" else spec.whole()
        echo_text(to_yaml(chosen), nl=False)
        return
    overview, found, label = DetectorOverview(spec), None, ""
    canvases: Sequence[CanvasCount] = ()
    if data:
        with working(f"reading {data}"):
            from reskeras.tasks.detection.object_statistics import survey_anchors, survey_canvases
            from reskeras.tasks.detection.opening import open_objects  # imports TensorFlow, which takes seconds

            source = open_objects(data, data_dir)
            if spec.classes is None:
                overview = DetectorOverview(laid_over(spec, {"classes": len(source.classes)}))
            train = source.training_images("detect show")
            found, label = survey_anchors(train, source.classes, overview.plan), source.label
            canvases = survey_canvases((train, source.test), overview.plan)
            if batch and augmented_by:
                from reskeras.tasks.detection.job import DetectorJob
                from reskeras.tasks.detection.object_sheet import batch_sheet

                batch_sheet(batch, DetectorJob(spec, augmented_by, source, data_dir))
    if form == "json":
        counts = {"canvases": [asdict(each) for each in canvases]}
        told = {"data": {"label": label, **found.as_dict(), **counts}} if found else {}
        emit_json({**overview.data(), **told, **({"batch": str(batch)} if batch else {})})
        return
    overview.echo()
    if found:
        echo()
        echo_anchors(found, label)
    if len(canvases) > 1:
        echo()
        echo_canvases(canvases)
    if batch:
        echo()
        echo(f"drawn  {batch}")


def _recipe_of_batch(
    request: NetworkRequest, data: str | None, recipe: str | None, batch: Path | None, form: str | None
) -> Recipe | None:
    """The recipe of the batch to draw, if any. ReskerasError, before TensorFlow loads, for flags that lack another."""
    from reskeras.networks.request import recipe_of
    from reskeras.recipes.recipe import recipe as read_recipe

    if batch and form in ("yaml", "resolved"):
        raise ReskerasError(f"--batch: contradicts --{form}, which prints the spec alone")
    if batch and not data:
        raise ReskerasError("--batch: draws images of --data; give --data SOURCE too")
    check_picture(batch, "--batch")
    if recipe and not batch:
        raise ReskerasError("--recipe: only for the picture of a batch; give --batch FILE.png too")
    return read_recipe(recipe or recipe_of(request.source, "detector")) if batch else None
