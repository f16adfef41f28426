"""Annotated images of any format written as VOC, COCO or YOLO: read back and compared before they take their name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reskeras.data.layout import WORDS
from reskeras.data.source import unsaid_mirror
from reskeras.errors import ReskerasError, failure, unknown
from reskeras.files import atomic_folder, place_of, write_bytes
from reskeras.tasks.detection.annotations.writers import WRITERS, Named, Writer, part_name
from reskeras.tasks.detection.cleaning import Annotated, AnnotatedSet, apart, check_once, cleaned
from reskeras.tasks.detection.image_headers import StoredImage, stored_bytes
from reskeras.tasks.detection.opening import read_objects

SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "WEBP": ".webp", "GIF": ".gif"}
LONGEST = 100  # characters of a file's name without suffix
FORBIDDEN = dict.fromkeys(map(ord, '/\\:*?"<>|'), "_") | dict.fromkeys(range(32), "_")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Converted:
    """A set written to `folder` and named `name`: `images` by split, objects and classes; `notes` say what was left out
    in reading, and what the format cannot say."""

    name: str
    folder: Path
    images: dict[str, int]
    objects: int
    classes: tuple[str, ...]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            "images": self.images,
            "objects": self.objects,
            "classes": list(self.classes),
            "notes": list(self.notes),
        }


def convert_data(
    source: str, target: str, *, data_dir: str | Path | None = None, progress: Progress = lambda done, of: None
) -> Converted:
    """Write the annotated images called `source`, with their files as they are, as `target`: voc:DIR, coco:DIR or
    yolo:DIR, a folder that does not exist yet.

    Boxes are cleaned as for training, in pixels of the image as displayed, and equal those written to half the last
    digit: 0.005 pixels in VOC and COCO, 0.0000005 of the side in YOLO. The splits of the set stay; images of none are
    for training. Objects to ignore, difficult ones and crowds, are of the one kind that VOC and COCO each have, and
    left out in YOLO, which has none; all that is counted. `progress` is called with the number of images done and of
    all.

    Raises ReskerasError: status 2 for a wrong target and for what cannot be opened, 1 for an image that cannot be read,
    and for what would not be read as it was written. Nothing is left then.
    """
    kind, _, place = target.partition(":")
    if kind not in WRITERS or not place:
        raise unknown("target", target, [f"{each}:DIR" for each in WRITERS])
    folder, writer = place_of(Path(place).expanduser(), "target"), WRITERS[kind]
    if folder.exists():
        raise ReskerasError(f"target: {folder} exists; remove it, or choose another folder")
    found = read_objects(source, data_dir)
    check_once(found)
    tally = found.tally
    test = cleaned(found.test, tally)
    images = [*cleaned(apart(found.train, found.test, tally), tally), *test]
    if not images:
        raise ReskerasError(f"data: {source} has no annotated image that can be read")
    classes = _classes(found, images)
    parts = _parts(found, images, writer)
    notes = [*tally.notes(), *_unsaid(parts, writer)]
    if not found.mirror:
        notes.append(unsaid_mirror(f"a {kind.upper()} folder"))
    done, total = 0, len(images)
    with atomic_folder(folder) as beside:
        for part, named in parts.items():
            files = stored_bytes(found.reader([each.image.stored for each in named]), len(named))
            for each, data in zip(named, files, strict=True):
                write_bytes(beside / writer.image(part, each.file), data)
                done += 1
                progress(done, total)
        writer.write(beside, parts, classes)
        _check_read(f"{kind}:{beside}", parts, classes, writer, folder)
    counts = {part: len(named) for part, named in parts.items()}
    objects = sum(len(each.image.names) for named in parts.values() for each in named)
    return Converted(f"{kind}:{folder}", folder, counts, objects, classes, tuple(notes))


def _classes(found: AnnotatedSet, images: list[Annotated]) -> tuple[str, ...]:
    """The classes of the set in its order, then others that occur; sorted where it has no order."""
    occurring = sorted({name for image in images for name in image.names if name})
    return tuple(dict.fromkeys([*(found.classes or ()), *occurring]))


def _parts(found: AnnotatedSet, images: list[Annotated], writer: Writer) -> dict[str, list[Named]]:
    """The images of each split, under names of files that are their own, with the objects that the format can say."""
    parts: dict[str, list[Named]] = {}
    taken: set[str] = set()
    held = {id(image.stored) for image in found.test}
    for image in images:
        split = image.part or ("test" if id(image.stored) in held else "train")
        stem, suffix = _file_name(image)
        unique, number = stem, 1
        while unique.casefold() in taken:
            number += 1
            unique = f"{stem}-{number}"
        taken.add(unique.casefold())
        kept = writer.kept(image)
        named = Named(f"{unique}{suffix}", image.only(kept), image.only(~kept))
        parts.setdefault(split, []).append(named)
    ordered = {split: parts[split] for split in WORDS if split in parts}
    return {part_name(split, ordered, writer): named for split, named in ordered.items()}


def _file_name(image: Annotated) -> tuple[str, str]:
    """The stem and the suffix of an image's file; of one without a file, its id."""
    if isinstance(image.stored, StoredImage):
        return image.stored.path.stem[:LONGEST], image.stored.path.suffix
    return str(image.id).translate(FORBIDDEN)[:LONGEST] or "image", SUFFIXES[image.format]


def _unsaid(parts: dict[str, list[Named]], writer: Writer) -> list[str]:
    """What the format cannot say of the objects, counted."""
    images = [each for named in parts.values() for each in named]
    kept, lost = ([getattr(each, what) for each in images] for what in ("image", "lost"))
    gone = sum(int(each.ignored.sum()) for each in lost) if not writer.ignores else 0
    counts = {
        "difficult": sum(int((each.ignored & ~each.crowd).sum()) for each in kept),
        "crowd": sum(int(each.crowd.sum()) for each in kept),
        "ignored": gone,
        "thin": sum(len(each.names) for each in lost) - gone,
    }
    return [
        (one if counts[kind] == 1 else more).format(f"{counts[kind]:,}")
        for kind, (one, more) in writer.unsaid.items()
        if counts[kind]
    ]


def _check_read(
    name: str, parts: dict[str, list[Named]], classes: tuple[str, ...], writer: Writer, folder: Path
) -> None:
    """`failure` unless what was written is read back as it was meant: every image, class, flag and box."""
    again = read_objects(name)
    found = {image.stored.path.name: image for image in (*again.train, *again.test)}
    for named in parts.values():
        for each in named:
            read = found.get(each.file)
            if read is None or not _alike(read, each.image, writer):
                raise failure(f"target: {folder} would not be read as it was written, from image {each.file} on")
    if again.classes is not None and tuple(again.classes) != classes:
        raise failure(
            f"target: {folder} would not be read as it was written; its classes are {', '.join(again.classes[:5])}"
        )


def _alike(read: Annotated, meant: Annotated, writer: Writer) -> bool:
    if read.names != meant.names or not np.array_equal(read.ignored, meant.ignored):
        return False
    off = np.abs(read.boxes - meant.boxes).max(initial=0)
    return bool(off <= writer.tolerance(meant.size))
