"""What happened to images and objects while annotations were read and cleaned, counted and reported in notes."""

from __future__ import annotations

from typing import NamedTuple

from reskeras.printable import few

MOST_BOXES = 100_000  # per image
NAMED = 5  # places that a note lists
UNNAMED = {"background", "crowd", "difficult"}  # as annotated, so that notes count them alone

# notes in singular and plural, in the order of output
NOTES = {
    "unread": ("annotation cannot be read and is skipped", "annotations cannot be read and are skipped"),
    "unlisted": ("listed image has no annotation and is skipped", "listed images have no annotation and are skipped"),
    "imageless": (
        "annotated image is missing or cannot be read and is skipped",
        "annotated images are missing or cannot be read and are skipped",
    ),
    "enclosed": (
        "image is only inside its annotation (imageData), which is not read, and is skipped; write it to its imagePath",
        "images are only inside their annotations (imageData), which are not read, and are skipped; write them to "
        "their imagePath",
    ),
    "unlabelled": ("image is in no annotation and is skipped", "images are in no annotation and are skipped"),
    "orphaned": ("file of labels has no image and is skipped", "files of labels have no image and are skipped"),
    "outlying": (
        "image has a path outside the folder and is skipped",
        "images have paths outside the folder and are skipped",
    ),
    "twice": ("image is listed twice and used once", "images are listed twice and used once"),
    "shared": (
        "training image is also a test image and is removed from training",
        "training images are also test images and are removed from training",
    ),
    "crowded": (
        f"image has more than {MOST_BOXES:,} objects and is skipped",
        f"images have more than {MOST_BOXES:,} objects and are skipped",
    ),
    "turned": (
        "image is rotated by its EXIF tag, as in image viewers",
        "images are rotated by their EXIF tags, as in image viewers",
    ),
    "sideways": (
        "image has boxes for its stored orientation, by the size in its annotation; they are rotated too",
        "images have boxes for their stored orientation, by the sizes in their annotations; they are rotated too",
    ),
    "resized": (
        "image differs in size from its annotation; its actual size is used",
        "images differ in size from their annotations; their actual sizes are used",
    ),
    "outlined": (
        "object has the box around its segmentation, having none of its own",
        "objects have the boxes around their segmentations, having none of their own",
    ),
    "shapeless": (
        "shape without an area, a line or a point, is skipped",
        "shapes without an area, lines or points, are skipped",
    ),
    "astray": ("object belongs to no image and is skipped", "objects belong to no image and are skipped"),
    "classless": (
        "object has no class, or one that the annotations do not list, and is skipped",
        "objects have no class, or one that the annotations do not list, and are skipped",
    ),
    "incomplete": (
        "object without a box of four finite numbers is skipped",
        "objects without a box of four finite numbers are skipped",
    ),
    "flat": ("box without height or width is skipped", "boxes without height or width are skipped"),
    "outside": ("box outside its image is skipped", "boxes outside their images are skipped"),
    "spoilt": (
        "image is left out, because every object annotated in it is skipped",
        "images are left out, because every object annotated in them is skipped",
    ),
    "cut": ("box extends beyond its image and is clipped", "boxes extend beyond their images and are clipped"),
    "strange": (
        "object of a class not in the training images is skipped",
        "objects of classes not in the training images are skipped",
    ),
    "difficult": (
        "difficult object is ignored: it counts neither when found nor when missed",
        "difficult objects are ignored: they count neither when found nor when missed",
    ),
    "crowd": (
        "crowd is ignored: it counts neither when found nor when missed",
        "crowds are ignored: they count neither when found nor when missed",
    ),
    "background": ("image has no object and is kept as background", "images have no object and are kept as background"),
}


class Place(NamedTuple):
    """What happened so many `times` at a place: an image, a file, an entry."""

    what: str
    where: str
    times: int


class Tally:
    """Counts what happened to images and objects, and remembers where."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(NOTES, 0)
        self.places: dict[str, dict[str, int]] = {kind: {} for kind in NOTES}
        self.said: list[str] = []

    def add(self, kind: str, where: str | None = None, count: int = 1) -> None:
        """Add `count` to `kind`, a key of NOTES; `where` is listed in the note."""
        self.counts[kind] += int(count)
        if where is not None and count:
            self.places[kind][where] = self.places[kind].get(where, 0) + int(count)

    def every_place(self) -> tuple[Place, ...]:
        """All that was counted, where it is known, in the order of notes."""
        return tuple(
            Place(one, where, count) for kind, (one, _) in NOTES.items() for where, count in self.places[kind].items()
        )

    def notes(self) -> tuple[str, ...]:
        """The free-form notes, then a line for each kind that occurred."""
        lines = list(self.said)
        for kind, (one, more) in NOTES.items():
            if count := self.counts[kind]:
                named = [] if kind in UNNAMED else [*self.places[kind]]
                where = f": {few(named, NAMED)}" if named else ""
                lines.append(f"{count:,} {one if count == 1 else more}{where}")
        return tuple(lines)
