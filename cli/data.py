"""`reskeras data`: what a source of images holds, and a picture of what a recipe makes of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reskeras.errors import ReskerasError

from .output import Column, emit_json, facts, heading, shape_text, table, working

if TYPE_CHECKING:
    from reskeras.data.survey import Survey

SMALLEST, LARGEST = 32, 224  # bounds of the sheet's images where no size is asked for
MOST_PIXELS = 2048
LISTED = 24  # classes; of more only the largest and the smallest


@click.command(
    "data",
    epilog="\b\nExamples:\n"
    "  reskeras data digits\n"
    "  reskeras data folder:photos --sheet photos.png --input-shape 64x64\n"
    "  reskeras data cifar10 --data-dir ~/tensorflow_datasets --recipe mine.yaml --sheet cifar.png",
)
@click.argument("source")
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="Where TFDS sets are prepared.")
@click.option("--recipe", default="quick", show_default=True, metavar="RECIPE",
              help="Whose augmentation the sheet shows: a name or a YAML file.")
@click.option("--sheet", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.png",
              help="Draw images beside augmented versions of them.")
@click.option("--input-shape", metavar="HxW",
              help="Size of the augmented images.  [default: the median size, within 32 and 224]")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(
    source: str, data_dir: Path | None, recipe: str, sheet: Path | None, input_shape: str | None, as_json: bool,
) -> None:
    """Images of SOURCE by class and size, and what may go wrong in training on them.

    SOURCE is digits, cifar10, cifar100, tfds:NAME[/CONFIG] or folder:PATH. Sizes are those of at most 2,000
    images, evenly spaced.
    """
    from reskeras.spec.recipe import recipe as read_recipe

    chosen, size = read_recipe(recipe), _size(input_shape)  # wrong requests fail before TensorFlow loads
    if sheet is not None and (sheet.suffix.lower() != ".png" or not sheet.absolute().parent.is_dir()):
        raise ReskerasError(f"--sheet: {sheet} should end in .png, in a folder that there is")
    from reskeras.data.registry import open_source
    from reskeras.data.survey import survey

    with working(f"reading {source}"):
        opened = open_source(source, data_dir)
        found = survey(opened)
    if sheet is not None:
        from reskeras.data.sheet import contact_sheet

        contact_sheet(sheet, opened, chosen, *(size or _bounded(found.sizes.median)))
    if as_json:
        emit_json({**found.as_dict(), "sheet": str(sheet) if sheet else None})
        return
    echo_survey(found)
    if sheet is not None:
        click.echo(f"\ndrawn  {sheet}")


def _size(typed: str | None) -> tuple[int, int] | None:
    """`64x64`, or `64x64x3` as other commands take it, to height and width."""
    if typed is None:
        return None
    match = re.fullmatch(r"(\d+)[x,](\d+)(?:[x,]\d+)?", typed)
    if not match or not all(1 <= int(side) <= MOST_PIXELS for side in match.groups()):
        raise ReskerasError(f"--input-shape: {typed!r} should be height and width in pixels, such as 64x64, "
                            f"at most {MOST_PIXELS}")
    return int(match[1]), int(match[2])


def _bounded(size: tuple[int, int]) -> tuple[int, int]:
    height, width = (min(max(side, SMALLEST), LARGEST) for side in size)
    return height, width


def echo_survey(found: Survey) -> None:
    """Figures, the images of each class, notes and warnings."""
    sizes = found.sizes
    if sizes.different == 1:
        sized = (shape_text(sizes.median), f"height x width, of {_all_or(sizes.measured, found.train)}")
    else:
        sized = (shape_text(sizes.median), f"the median; {shape_text(sizes.smallest)} to {shape_text(sizes.largest)}, "
                 f"{sizes.different:,} different, of {_all_or(sizes.measured, found.train)}")
    heading(found.data)
    facts([
        ("training", f"{found.train:,}", "images"),
        ("test", f"{found.test:,}", found.divided),
        ("classes", f"{len(found.classes):,}", "may be mirrored" if found.mirror else "not to be mirrored"),
        ("channels", str(found.channels), "grey" if found.channels == 1 else "colour"),
        ("size", *sized),
    ])
    click.echo()
    _echo_classes(found)
    if found.notes or found.warnings:
        click.echo()
    for note in found.notes:
        click.echo(f"note: {note}")
    for warning in found.warnings:
        click.echo(click.style("warning", fg="yellow") + f": {warning}")


def _all_or(number: int, count: int) -> str:
    return "all training images" if number == count else f"{number:,} training images"


def _echo_classes(found: Survey) -> None:
    rows = sorted(found.classes.items(), key=lambda entry: -entry[1][0]) if len(found.classes) > LISTED else [
        *found.classes.items()]
    estimated = "about " if found.counted != (found.train, found.test) else ""
    lines = [(name, f"{estimated}{train:,}", f"{estimated}{test:,}") for name, (train, test) in rows]
    if len(lines) > LISTED:
        half = LISTED // 2
        lines = [*lines[:half], (f"... {len(lines) - 2 * half} more", "", ""), *lines[-half:]]
    table([Column("class"), Column("training", right=True), Column("test", right=True)], lines)
