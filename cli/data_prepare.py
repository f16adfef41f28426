"""`reskeras data prepare`: a source's images, no larger than needed, in a few files that are fast to read."""

from __future__ import annotations

from pathlib import Path

import click

from reskeras.quantities import short_bytes
from reskeras.readers import CLASSES, usages

from .completion import complete_source
from .output import command_line, echo, facts, progress
from .paths import Written, data_dir_option


@click.command(
    "prepare",
    help=f"""Write the images of SOURCE as a set of TensorFlow Datasets, which trains faster than large images do.

    Large images are resized once, here, rather than in each epoch; JPEGs become JPEGs, other formats PNGs, and small
    images keep their bytes. Splits, labels and order stay. SOURCE is {usages(CLASSES)}.""",
    epilog="\b\nExamples:\n"
    "  reskeras data prepare folder:photos --out sets\n"
    "  reskeras data prepare tfds:imagenet2012 --data-dir /data/tfds --size 256 --out /ssd/sets\n"
    "  reskeras train resnet-50 --data tfds:photos --data-dir sets",
)
@click.argument("source", shell_complete=complete_source)
@click.option("--out", type=Written(file_okay=False), metavar="DIR", required=True, help="Folder of prepared sets.")
@click.option(
    "--size",
    type=click.IntRange(1, 8192),
    metavar="PIXELS",
    default=256,
    show_default=True,
    help="Resize images whose shorter side is longer than this to this.",
)
@click.option("--keep-size", is_flag=True, help="Resize nothing; images keep their bytes.")
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    metavar="Q",
    default=95,
    show_default=True,
    help="Quality of resized JPEGs.",
)
@click.option("--name", metavar="NAME", help="Name of the set, for --data tfds:NAME.  [default: after SOURCE]")
@data_dir_option
def command(
    source: str, out: Path, size: int, keep_size: bool, quality: int, name: str | None, data_dir: Path | None
) -> None:
    """Prepare a set; help is above."""
    from reskeras.data.prepare import prepare_data

    with progress(f"preparing {source}") as advance:
        found = prepare_data(
            source,
            out,
            data_dir=data_dir,
            size=None if keep_size else size,
            quality=quality,
            name=name,
            progress=advance,
        )
    facts(
        [
            ("prepared", str(found.folder), ""),
            *((split, f"{count:,} images", "") for split, count in found.images.items()),
            ("size", short_bytes(found.bytes), ""),
        ]
    )
    echo()
    for remark in found.notes:
        echo(f"note: {remark}")
    echo(f"train on it with  {command_line('--data', f'tfds:{found.name}', '--data-dir', found.data_dir)}")
