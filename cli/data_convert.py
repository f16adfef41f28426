"""`reskeras data convert`: annotated images of any format as VOC, COCO or YOLO."""

from __future__ import annotations

from pathlib import Path

import click

from reskeras.readers import OBJECTS, usages

from .completion import complete_objects
from .output import command_line, echo, emit_json, facts, json_option, progress
from .paths import data_dir_option


@click.command(
    "convert",
    help=f"""Write the annotated images of SOURCE in another format, as TARGET: voc:DIR, coco:DIR or yolo:DIR.

    SOURCE is {usages(OBJECTS)}, or just the path of such a folder. Image files are copied as they are; boxes are
    cleaned as for training. What is left out, and what the format cannot say, is counted and listed. What was written
    is read back and compared before the folder takes its name.""",
    epilog="\b\nExamples:\n"
    "  reskeras data convert yolo:cells coco:cells-coco\n"
    "  reskeras data convert export-from-cvat voc:cells-voc\n"
    "  reskeras data convert tfds:voc/2007 yolo:voc-yolo --data-dir ~/tensorflow_datasets",
)
@click.argument("source", shell_complete=complete_objects)
@click.argument("target")
@data_dir_option
@json_option
def command(source: str, target: str, data_dir: Path | None, as_json: bool) -> None:
    """Convert a set; help is above."""
    from reskeras.tasks.detection.annotations.convert import convert_data

    with progress(f"converting {source}") as advance:
        found = convert_data(source, target, data_dir=data_dir, progress=advance)
    if as_json:
        emit_json(found.as_dict())
        return
    facts(
        [
            ("written", found.name, ""),
            *((part, f"{count:,} images", "") for part, count in found.images.items()),
            ("objects", f"{found.objects:,}", f"of {len(found.classes):,} classes"),
        ]
    )
    echo()
    for remark in found.notes:
        echo(f"note: {remark}")
    echo(f"train on it with  {command_line('--data', found.name)}")
