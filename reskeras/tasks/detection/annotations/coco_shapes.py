"""The box of an object in COCO's JSON, which is untrusted: its own, or the one around its segmentation."""

from __future__ import annotations

from typing import Any

import numpy as np

from reskeras.errors import ReskerasError, shown
from reskeras.tasks.detection.annotations.folder import pixels

Corners = tuple[float, float, float, float]
NO_BOX: Corners = (float("nan"),) * 4  # type: ignore[assignment]  # four of them
LARGEST_SIDE = 1 << 16  # pixels of a mask's image
LEAST_POINTS = 3


def corners(box: object) -> Corners:
    """COCO's left, top, width, height as top, left, bottom, right; NaN for anything else."""
    if isinstance(box, list) and len(box) == 4 and (numbers := _numbers(box)) is not None:
        left, top, width, height = numbers
        return top, left, top + height, left + width
    return NO_BOX


def outline(segmentation: object, where: str) -> Corners:
    """The box around polygons, lists of x and y in turn, or around a mask, run-length encoded by columns.

    The one is in continuous pixels; the other's pixels are whole. NaN for a mask without pixels. ReskerasError (status
    2) that names `where` for anything else, and for a polygon of less than three points.
    """
    if isinstance(segmentation, dict):
        return _around_mask(segmentation, where)
    points: list[float] = []
    for polygon in segmentation if isinstance(segmentation, list) else [None]:
        numbers = _numbers(polygon) if isinstance(polygon, list) and len(polygon) % 2 == 0 else None
        if numbers is None:
            raise ReskerasError(f"data: {where}: segmentation {shown(segmentation)} is neither polygons nor a mask")
        if len(numbers) < 2 * LEAST_POINTS:
            raise ReskerasError(
                f"data: {where}: a polygon of {len(numbers) // 2} points; it needs at least {LEAST_POINTS}"
            )
        points += numbers
    return pixels(zip(points[::2], points[1::2], strict=True))


def _numbers(values: list[Any]) -> list[float] | None:
    """The values as floats if all are numbers."""
    try:
        return [float(value) for value in values] if all(type(value) in (int, float) for value in values) else None
    except OverflowError:  # JSON's integers have any number of digits
        return None


def _around_mask(mask: dict[str, Any], where: str) -> Corners:
    counts, size = mask.get("counts"), mask.get("size")
    if not (
        isinstance(size, list)
        and len(size) == 2
        and all(type(side) is int and 0 < side <= LARGEST_SIDE for side in size)
        and isinstance(counts, list | str)
        and all(type(count) is int and 0 <= count <= LARGEST_SIDE**2 for count in counts if isinstance(counts, list))
    ):
        raise ReskerasError(f"data: {where}: segmentation {shown(mask)} is not a run-length encoded mask")
    runs = np.array(counts if isinstance(counts, list) else _unpacked(counts, where), np.int64)
    height, width = size
    ends = np.cumsum(runs)
    if (runs < 0).any() or (len(ends) and ends[-1] != height * width):
        raise ReskerasError(f"data: {where}: the runs of the mask do not add up to its {height} x {width} pixels")
    starts, last = (ends - runs)[1::2], ends[1::2] - 1  # of the runs of ones
    starts, last = starts[runs[1::2] > 0], last[runs[1::2] > 0]
    if not len(starts):
        return NO_BOX
    left, right = starts.min() // height, last.max() // height + 1
    if (starts // height != last // height).any():  # a run that goes on in the next column touches both borders
        return 0.0, float(left), float(height), float(right)
    return float((starts % height).min()), float(left), float((last % height).max() + 1), float(right)


def _unpacked(text: str, where: str) -> list[int]:
    """The runs of COCO's compressed form: six bits a character, five of them a number's; from the third run on the
    difference to the run before the last."""
    runs: list[int] = []
    number = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 40:
            raise ReskerasError(f"data: {where}: the mask's {shown(text)} is not COCO's compressed form")
        number |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            number -= (bits & 16) << (shift - 4)  # the sign
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
            number = shift = 0
    return runs
