"""YOLO's files of labels and of class names, which are untrusted, parsed to plain data; each rule is told by line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reskeras.errors import ReskerasError, shown
from reskeras.tasks.detection.annotations.folder import pixels, read_lines, share
from reskeras.tasks.detection.cleaning import class_name

LARGEST_LABELS = 10_000_000  # bytes
LARGEST_NAMES = 1_000_000
OF_BOX, LEAST_POINTS = 5, 3  # numbers of a box with its class; points of a polygon
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Labels:
    """The objects of an image: `boxes` top, left, bottom, right as shares of its sides, the numbers of their `classes`,
    and how many had polygons instead of boxes."""

    boxes: tuple[Box, ...]
    classes: tuple[int, ...]
    outlined: int


def read_labels(file: Path, names: int, points: int = 0) -> Labels:
    """The labels in `file`: lines of a class number below `names`, then a box as centre x, centre y, width and height,
    or a polygon as x and y in turn; all as shares of the image. Of a set with poses, `points` numbers follow each box.

    Raises ReskerasError (status 2) that names the line and the rule for anything else.
    """
    boxes, classes, outlined = [], [], 0
    for number, line in enumerate(read_lines(file, LARGEST_LABELS), 1):
        words, where = line.split(), f"{file}, line {number}"
        if not words:
            continue
        if not (words[0].isascii() and words[0].isdigit()):
            raise ReskerasError(f"data: {where}: class {shown(words[0])} should be a whole number, counted from 0")
        if len(words[0]) > 9 or int(words[0]) >= names:
            raise ReskerasError(
                f"data: {where}: class {words[0][:20]} has no name; there are {names}, numbered from 0 to {names - 1}"
            )
        values = _shares(words[1:], where, points)
        if len(values) == OF_BOX - 1:
            x, y, width, height = values
            boxes.append((y - height / 2, x - width / 2, y + height / 2, x + width / 2))
        else:
            boxes.append(pixels(zip(values[::2], values[1::2], strict=True)))
            outlined += 1
        classes.append(int(words[0]))
    return Labels(tuple(boxes), tuple(classes), outlined)


def _shares(words: list[str], where: str, points: int) -> list[float]:
    """The numbers of a box or a polygon."""
    if points:
        if len(words) != OF_BOX - 1 + points:
            raise ReskerasError(
                f"data: {where}: has {len(words) + 1} numbers; with this kpt_shape a pose has {OF_BOX + points}"
            )
        words = words[: OF_BOX - 1]
    elif len(words) != OF_BOX - 1 and (len(words) % 2 or len(words) < 2 * LEAST_POINTS):
        raise ReskerasError(
            f"data: {where}: has {len(words) + 1} numbers; a box has {OF_BOX}, a polygon a class, and an x and y for "
            f"each of at least {LEAST_POINTS} points"
        )
    return [share(word, where) for word in words]


def names_of(value: Any, count: Any, where: str) -> tuple[str, ...]:
    """The class names in `names` of a data.yaml, a list or a mapping from numbers; `count` is its nc.

    Raises ReskerasError (status 2) that names the rule for anything else.
    """
    if isinstance(value, dict):
        if sorted(map(str, value)) != sorted(map(str, range(len(value)))):
            raise ReskerasError(f"data: {where}: names should be numbered from 0 to {len(value) - 1}, without a gap")
        numbered = {str(number): name for number, name in value.items()}
        value = [numbered[str(number)] for number in range(len(value))]
    if not isinstance(value, list) or not value:
        raise ReskerasError(f"data: {where}: names should be a list of classes, or a mapping from numbers to classes")
    if count is not None and count != len(value):
        raise ReskerasError(f"data: {where}: nc is {shown(count)}, but there are {len(value)} names")
    for number, name in enumerate(value):
        if type(name) not in (str, int, float):  # YAML reads yes and no as true and false
            raise ReskerasError(
                f"data: {where}: the name of class {number}, {shown(name)}, is not text; put it in quotes"
            )
    return checked_names([str(name) for name in value], where)


def checked_names(names: list[str], where: str) -> tuple[str, ...]:
    """Class names; ReskerasError (status 2) for an invalid one, or two that are equal."""
    found: list[str] = []
    for number, name in enumerate(names):
        if (valid := class_name(name)) is None:
            raise ReskerasError(f"data: {where}: the name of class {number}, {shown(name)}, is not a valid class name")
        if valid in found:
            raise ReskerasError(
                f"data: {where}: classes {found.index(valid)} and {number} are both called {shown(valid)}"
            )
        found.append(valid)
    return tuple(found)


def listed_names(file: Path) -> tuple[str, ...]:
    """The class names in a file with one a line, such as classes.txt."""
    lines = [line.strip() for line in read_lines(file, LARGEST_NAMES)]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise ReskerasError(f"data: {file} has no class names, one in each line")
    return checked_names(lines, str(file))
