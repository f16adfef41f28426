"""What happened to images and objects while annotations were read and cleaned, counted and told in notes."""

from __future__ import annotations

MOST_BOXES = 100_000  # per image
NAMED = 5  # places that a note lists

# notes in singular and plural, in the order of output
NOTES = {
    "unread": ("annotation that cannot be read is left out", "annotations that cannot be read are left out"),
    "unlisted": ("listed image has no annotation and is left out", "listed images have no annotation and are left out"),
    "imageless": (
        "annotated image is missing or cannot be read and is left out",
        "annotated images are missing or cannot be read and are left out",
    ),
    "outlying": (
        "image has a name that leads out of the folder and is left out",
        "images have names that lead out of the folder and are left out",
    ),
    "twice": ("image is listed twice and taken once", "images are listed twice and taken once"),
    "shared": (
        "training image is for test too and left out of training",
        "training images are for test too and left out of training",
    ),
    "crowded": (
        f"image has more than {MOST_BOXES:,} objects and is left out",
        f"images have more than {MOST_BOXES:,} objects and are left out",
    ),
    "turned": (
        "image is turned by its EXIF tag, as viewers show it",
        "images are turned by their EXIF tags, as viewers show them",
    ),
    "sideways": (
        "image has boxes for what is stored, by the size that its annotation says; they are turned with it",
        "images have boxes for what is stored, by the size that their annotations say; they are turned too",
    ),
    "resized": (
        "image is not of the size that its annotation says, and its own is taken",
        "images are not of the size that their annotations say, and their own is taken",
    ),
    "astray": ("object belongs to no image and is left out", "objects belong to no image and are left out"),
    "incomplete": (
        "object without a class or without a box of four finite numbers is left out",
        "objects without a class or without a box of four finite numbers are left out",
    ),
    "flat": ("box of no height or width is left out", "boxes of no height or width are left out"),
    "outside": ("box outside of its image is left out", "boxes outside of their images are left out"),
    "cut": ("box reaches over its image and is cut to it", "boxes reach over their images and are cut to them"),
    "strange": (
        "object of a class that training has none of is left out",
        "objects of classes that training has none of are left out",
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


class Tally:
    """Counts what happened to images and objects, and remembers where."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(NOTES, 0)
        self.places: dict[str, dict[str, None]] = {kind: {} for kind in NOTES}  # ordered sets
        self.said: list[str] = []

    def add(self, kind: str, where: str | None = None, count: int = 1) -> None:
        """Add `count` to `kind`, a key of NOTES; `where` is listed in the note."""
        self.counts[kind] += int(count)
        if where is not None and count:
            self.places[kind][where] = None

    def notes(self) -> tuple[str, ...]:
        """The free-form notes, then a line for each kind that occurred."""
        lines = list(self.said)
        for kind, (one, more) in NOTES.items():
            if count := self.counts[kind]:
                lines.append(f"{count:,} {one if count == 1 else more}{_listed(list(self.places[kind]))}")
        return tuple(lines)


def _listed(places: list[str]) -> str:
    more = f" and {len(places) - NAMED:,} more" if len(places) > NAMED else ""
    return f": {', '.join(places[:NAMED])}{more}" if places else ""
