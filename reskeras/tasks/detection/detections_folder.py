"""Writes detections in image files to a folder: the images with boxes drawn in, and detections.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reskeras.data.decode import decode_file
from reskeras.files import atomic_folder, write_json
from reskeras.runs import place_for
from reskeras.tasks.detection.detections import ImageDetections, coco_predictions
from reskeras.tasks.detection.drawn_boxes import draw_boxes, found_marks
from reskeras.tasks.detection.mistakes import SURE
from reskeras.tasks.detection.objects import CHANNELS

DETECTIONS_FILE = "detections.json"


def check_folder(out: str | Path) -> Path:
    """`out` if a new folder can be created there; otherwise ReskerasError (status 2)."""
    return place_for(out, "")


def save_found(
    found: Sequence[ImageDetections], classes: Sequence[str], out: str | Path, score: float | None = None
) -> Path:
    """Write the new folder `out` atomically.

    Each image is written as NAME-detections.png at its own size; the second of files with one name is NAME-2. Boxes
    with a score of at least `score`, by default SURE, are drawn; detections.json has all of `found`, in COCO's format.
    """
    out = check_folder(out)
    with atomic_folder(out) as folder:
        names: set[str] = set()
        for each in found:
            pixels = decode_file(each.path, CHANNELS).numpy()
            drawn = each.above(SURE if score is None else score)
            picture = draw_boxes(pixels, found_marks(drawn.detections, classes))
            picture.save(folder / f"{_own_name(Path(each.path).stem, names)}-detections.png")
        write_json(folder / DETECTIONS_FILE, coco_predictions(found, classes), indent=1)
    return out


def _own_name(stem: str, taken: set[str]) -> str:
    """`stem`, numbered if it is taken, ignoring case."""
    name, number = stem, 2
    while name.casefold() in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name.casefold())
    return name
