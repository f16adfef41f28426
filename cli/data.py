"""`reskeras data`: survey a data source, prepare it for training, or convert its annotations."""

from __future__ import annotations

import click

from .groups import Commands, Entry
from .output import echo_text

SECTION = "Data"
COMMANDS = {
    "survey": Entry(".data_survey", "Survey SOURCE by class and size (default).", SECTION),
    "prepare": Entry(".data_prepare", "Write the images of SOURCE, resized, to a few files.", SECTION),
    "convert": Entry(".data_convert", "Write annotated images in another format: VOC, COCO or YOLO.", SECTION),
}


@click.group(
    "data",
    cls=Commands,
    table=COMMANDS,
    default="survey",
    invoke_without_command=True,
    context_settings={"ignore_unknown_options": True},
    epilog="\b\nExamples:\n"
    "  reskeras data digits\n"
    "  reskeras data folder:photos --sheet photos.png --input-shape 64x64\n"
    "  reskeras data prepare folder:photos --size 256 --out sets\n"
    "  reskeras data convert yolo:cells coco:cells-coco",
)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Survey a data source, prepare it for training, or convert its annotations.

    `reskeras data SOURCE` is short for `reskeras data survey SOURCE`.
    """
    if ctx.invoked_subcommand is None:
        echo_text(ctx.get_help())
