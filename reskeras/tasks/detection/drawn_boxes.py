"""Drawing of boxes on images: detections solid, annotated objects dashed by default; labels where there is room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reskeras.report.fonts import picture_font, shortened
from reskeras.report.styles import BLACK, BRIGHT, INK, PAPER
from reskeras.tasks.detection.detections import Box, Detection, box_of

if TYPE_CHECKING:
    from PIL import Image as Picture

VEIL = "90"  # alpha of a line's outline, so that the line's own colour dominates
LEAST_TEXT, LINES = 10, 220  # smallest text in pixels; the shorter side over a line's width
LARGEST_LABEL = 5  # images whose shorter side is less than so many text heights have no labels
GAP = 12  # between the pictures of a grid
Place = tuple[float, float, float, float]  # left, top, right, bottom, as Pillow has them


@dataclass(frozen=True)
class Mark:
    """A box to draw, in pixels of the image; labelled with `label` if there is room, else with `short`, else not."""

    box: Box
    colour: str
    label: str = ""
    short: str = ""
    dashed: bool = False

    def moved(self, top: float, left: float, scale: tuple[float, float] = (1.0, 1.0)) -> Mark:
        """The mark in a crop that begins at (top, left), whose rows and columns are scaled by `scale`."""
        corner = (top, left, top, left)
        moved = zip(self.box, corner, scale * 2, strict=True)
        return replace(self, box=box_of((side - by) * times for side, by, times in moved))

    def plain(self) -> Mark:
        """The mark without labels."""
        return replace(self, label="", short="")


def colour_of(name: str, classes: Sequence[str]) -> str:
    """The colour of a class, the same everywhere; with many classes some share one."""
    return BRIGHT[list(classes).index(name) % len(BRIGHT)]


def found_marks(detections: Iterable[Detection], classes: Sequence[str]) -> list[Mark]:
    """Solid marks with class and score."""
    return [
        Mark(each.box, colour_of(each.name, classes), f"{each.name} {each.score:.2f}", f"{each.score:.2f}")
        for each in detections
    ]


def true_marks(
    boxes: np.ndarray, labels: np.ndarray, classes: Sequence[str], dashed: bool = True, named: bool = True
) -> list[Mark]:
    """Marks of annotated objects with boxes (k, 4) and `labels` (k,)."""
    return [
        Mark(box_of(box), BRIGHT[label % len(BRIGHT)], classes[label] if named else "", dashed=dashed)
        for box, label in zip(boxes, labels, strict=True)
    ]


def draw_boxes(pixels: np.ndarray, marks: Sequence[Mark], text: int | None = None) -> Picture.Image:
    """uint8 (height, width, 3) with `marks` drawn on it, at its own size.

    The first marks are the most important: they are on top and labelled first, with text `text` pixels high (default:
    by the image's size). Labels do not overlap, so in crowded images some boxes are identified by colour only.
    """
    from PIL import Image, ImageDraw

    image = Image.fromarray(np.ascontiguousarray(pixels))
    shorter = min(image.size)
    draw = ImageDraw.Draw(image, "RGBA")  # blends translucent lines with the image
    width = max(2 if shorter > LINES else 1, round(shorter / LINES), (text or 0) // 8)
    written, font = picture_font(
        [each for mark in marks for each in (mark.label, mark.short)], text or max(LEAST_TEXT, round(4 + shorter / 50))
    )
    marks = [replace(mark, label=written[mark.label], short=written[mark.short]) for mark in marks]
    for mark in reversed(marks):
        _outline(draw, mark, width)
    for mark, words, place in placed_labels(marks, font, image.size):
        _label(draw, mark, words, place, font)
    return image


def placed_labels(marks: Iterable[Mark], font: Any, size: tuple[int, int]) -> list[tuple[Mark, str, Place]]:
    """The labelled marks in an image of `size` (width, height), with the text and its place, which is inside the image
    and overlaps no other label. Images too small for labels have none."""
    placed: list[tuple[Mark, str, Place]] = []
    if font.size * LARGEST_LABEL > min(size):
        return placed
    for mark in marks:
        free = (
            (words, place)
            for words in filter(None, (mark.label, mark.short))
            for place in _places(mark, words, font, size)
            if not any(_touch(place, other) for _, _, other in placed)
        )
        if found := next(free, None):
            placed.append((mark, *found))
    return placed


def enlarged(pixels: np.ndarray, marks: Sequence[Mark], side: int) -> tuple[np.ndarray, list[Mark]]:
    """Image and marks, scaled so that the image's longer side is `side`. The other side is rounded to whole pixels, and
    the two scales of the marks follow from both, as on a canvas."""
    from PIL import Image

    rows, columns = pixels.shape[:2]
    height, width = (max(round(number * side / max(rows, columns)), 1) for number in (rows, columns))
    image = Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image), [mark.moved(0, 0, (height / rows, width / columns)) for mark in marks]


def cropped(pixels: np.ndarray, marks: Sequence[Mark], box: Box, side: int) -> tuple[np.ndarray, list[Mark]]:
    """A square crop around `box`, twice as large but at least a quarter of the image, clipped to the image, with its
    marks; both scaled to a longer side of `side` pixels."""
    height, width = pixels.shape[:2]
    wanted = max(2 * (box[2] - box[0]), 2 * (box[3] - box[1]), min(height, width) / 4, 8)
    spans = []
    for low, high, limit in ((box[0], box[2], height), (box[1], box[3], width)):
        length = min(round(wanted), limit)
        first = round(min(max((low + high - length) / 2, 0), limit - length))
        spans.append(slice(first, first + length))
    part = pixels[spans[0], spans[1]]
    return enlarged(part, [mark.moved(spans[0].start, spans[1].start) for mark in marks], side)


def draw_grid(rows: Sequence[tuple[str, np.ndarray, Sequence[Mark], Sequence[Mark]]], side: int = 480) -> Picture.Image:
    """Several images in one picture: for each row, of a title, uint8 (height, width, 3), annotated marks and detected
    marks, two images side by side, with a longer side of `side` pixels."""
    from PIL import Image, ImageDraw

    line = 32
    written, font = picture_font([title for title, *_ in rows], 22)
    drawn = [
        (title, [draw_boxes(*enlarged(pixels, marks, side), text=15) for marks in both])
        for title, pixels, *both in rows
    ]
    height = sum(pair[0].height + line + GAP for _, pair in drawn) + line
    grid = Image.new("RGB", (2 * side + 3 * GAP, height), PAPER)
    draw, top = ImageDraw.Draw(grid), line
    for place, heading in enumerate(("annotated", "found")):
        draw.text((GAP + place * (side + GAP), 2), heading, INK, font)
    for title, pair in drawn:
        draw.text((GAP, top + 2), _fitted(written[title], font, grid.width - 2 * GAP), INK, font)
        for place, picture in enumerate(pair):
            grid.paste(picture, (GAP + place * (side + GAP), top + line))
        top += pair[0].height + line + GAP
    return grid


def _fitted(text: str, font: Any, width: int) -> str:
    """`text`, shortened in the middle to fit `width` pixels."""
    most = len(text)
    while most > 1 and font.getlength(shortened(text, most)) > width:
        most -= 1
    return shortened(text, most)


def _outline(draw: Any, mark: Mark, width: int) -> None:
    """Draw the box with an outline of contrasting brightness, so that it is visible on any background."""
    top, left, bottom, right = (round(side) for side in mark.box)
    left, top, right, bottom = left, top, max(right - 1, left), max(bottom - 1, top)  # Pillow's corners are inclusive
    behind = _opposite(mark.colour) + VEIL
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=behind, width=width + 2)
    if not mark.dashed:
        draw.rectangle((left, top, right, bottom), outline=mark.colour, width=width)
        return
    for across in (top, bottom - width + 1):
        for start, end in _dashes(left, right, width):
            draw.rectangle((start, across, end, across + width - 1), fill=mark.colour)
    for across in (left, right - width + 1):
        for start, end in _dashes(top, bottom, width):
            draw.rectangle((across, start, across + width - 1, end), fill=mark.colour)


def _dashes(first: int, last: int, width: int) -> list[tuple[int, int]]:
    """Dashes from `first` to `last`, in pixels, with a dash at both ends."""
    count = max(round((last - first + 1) / (4 + 3 * width) / 2), 1)
    step = (last - first + 1) / (2 * count + 1)
    ends = [(round(first + 2 * place * step), round(first + (2 * place + 1) * step) - 1) for place in range(count + 1)]
    return [(start, end) for start, end in ends if start <= end]  # very short edges have no gap


def _label(draw: Any, mark: Mark, words: str, place: Place, font: Any) -> None:
    left, top, right, bottom = place
    draw.rectangle((left, top, right - 1, bottom - 1), fill=mark.colour)
    draw.text(((left + right) / 2, (top + bottom) / 2), words, _opposite(mark.colour), font, anchor="mm")


def _places(mark: Mark, words: str, font: Any, size: tuple[int, int]) -> Iterator[Place]:
    """Places for `words` inside the image, best first."""
    across, down = round(font.getlength(words)) + 4, round(font.size * 1.15) + 2
    for x, y in _corners(mark.box, across, down):
        left = max(min(x, size[0] - across), 0)
        if 0 <= y <= size[1] - down and across <= size[0]:
            yield left, y, left + across, y + down


def _corners(box: Box, across: int, down: int) -> list[tuple[int, int]]:
    """Corners for a label, best first: above the box, inside if that leaves most of it visible, below."""
    top, left, bottom, right = (round(side) for side in box)
    above, below = [[(x, y) for x in (left, right - across)] for y in (top - down, bottom)]
    inside = [(x, y) for y in (top, bottom - down) for x in (left, right - across)]
    if across <= right - left and 3 * down <= bottom - top:
        return above[:1] + inside[:2] + above[1:] + inside[2:] + below
    return above + below + inside


def _touch(one: Place, other: Place) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _opposite(colour: str) -> str:
    """Black or white, whichever has more contrast (WCAG 2.1)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return BLACK if (luminance + 0.05) ** 2 > 1.05 * 0.05 else PAPER
