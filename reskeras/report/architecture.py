"""Diagram of a network unit by unit, as in v1 figure 3: columns of stages, long runs of equal units shortened."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from pathlib import Path

from reskeras.errors import ReskerasError
from reskeras.files import check_folder, check_suffix
from reskeras.plans import operations as op
from reskeras.plans.nodes import Fork, Sequence, mapped, walk
from reskeras.plans.plan import Plan, Unit
from reskeras.report.glyphs import BOX_GAP, Pen, measure
from reskeras.report.styles import LINES, NO_STAGE, PALE_LINES, PAPER, QUIET, STAGES, styled

SUFFIXES = (".png", ".svg", ".pdf")
LONGEST_RUN = 6  # longer runs of equal units are shortened
DOTS_PER_INCH = 160
ASPECT = 1.5  # width over height that the columns aim at
LABEL, UNIT_GAP, STAGE_GAP, MORE_HEIGHT = 0.26, 0.07, 0.12, 0.42
GUTTER, MARGIN, NAME_WIDTH, HEADER, FOOTER = 0.3, 0.25, 0.42, 0.62, 0.3


@dataclass(frozen=True)
class Item:
    """An entry of a column: a unit, or `more` equal units that are not drawn."""

    stage: str
    name: str
    nodes: Sequence = ()
    more: int = 0

    @property
    def height(self) -> float:
        """Height in inches."""
        return MORE_HEIGHT if self.more else measure(self.nodes).height + UNIT_GAP


def check_path(path: str | Path) -> Path:
    """`path` if a drawing can be written there; otherwise ReskerasError (status 2)."""
    path = Path(path)
    check_suffix(path, "plot", SUFFIXES)
    check_folder(path, "plot")
    if path.is_dir():
        raise ReskerasError(f"plot: {path} is a folder")
    return path


@styled
def draw(plan: Plan, title: str, path: str | Path) -> Path:
    """Draw `plan` into a PNG, SVG or PDF file, whichever the suffix says.

    Of runs of more than six units that are equal (except for drop-path rates) only the first and last are drawn.
    """
    from reskeras.report.figures import Figure, save_figure

    path = check_path(path)
    items = list(_items(plan))
    rooms = [measure(item.nodes) for item in items if not item.more]
    left, right = max(room.left for room in rooms) + NAME_WIDTH, max(room.right for room in rooms) + 0.12
    columns = _columns(items, left + right + GUTTER)
    height = max(_column_height(column) for column in columns) + HEADER + FOOTER + 0.3
    width = max(len(columns) * (left + right + GUTTER) - GUTTER + 2 * MARGIN, 4.2)
    figure = Figure(width, height, dpi=DOTS_PER_INCH, layout=None)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    page = _Page(Pen(axes), plan, left, right)
    page.header(title)
    page.body(columns)
    page.footer(height)
    return save_figure(figure, path)


def _items(plan: Plan) -> Iterable[Item]:
    """Units in order, long runs of equal ones shortened."""
    for _, run in groupby(plan.units, key=lambda unit: (unit.stage, mapped(unit.nodes, _without_rate))):
        units = list(run)
        if len(units) <= LONGEST_RUN:
            yield from map(_item, units)
            continue
        yield _item(units[0])
        names = f"{_short_name(units[1])} to {_short_name(units[-2])}"
        yield Item(units[0].stage_name, names, more=len(units) - 2)
        yield _item(units[-1])


def _item(unit: Unit) -> Item:
    return Item(unit.stage_name, _short_name(unit), unit.nodes)


def _short_name(unit: Unit) -> str:
    return "" if unit.index is None else f"unit {unit.index}"


def _without_rate(node: op.Op) -> op.Op:
    """`node` for comparison of units, which differ in their rates of stochastic depth."""
    return replace(node, rate=0.0) if isinstance(node, op.Dropout) and node.per_image else node


def _columns(items: list[Item], width: float) -> list[list[Item]]:
    """Items split into the number of columns that brings the page closest to ASPECT."""
    choices: list[tuple[float, int, list[list[Item]]]] = []
    for count in range(1, min(len(items), 40) + 1):
        columns = _split(items, count)
        page = len(columns) * width / (max(map(_column_height, columns)) + HEADER + FOOTER)
        choices.append((abs(math.log(page / ASPECT)), len(choices), columns))
    return min(choices)[2]


def _split(items: list[Item], count: int) -> list[list[Item]]:
    """At most `count` columns of minimal height."""
    low, high = max(item.height for item in items), _column_height(items) + LABEL
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if len(_filled(items, middle)) <= count else (middle, high)
    return _filled(items, high)


def _filled(items: list[Item], limit: float) -> list[list[Item]]:
    columns: list[list[Item]] = [[]]
    for item in items:
        if columns[-1] and _column_height([*columns[-1], item]) > limit:
            columns.append([])
        columns[-1].append(item)
    return columns


def _column_height(column: list[Item]) -> float:
    stages = len(list(groupby(column, key=lambda item: item.stage)))
    return sum(item.height for item in column) + stages * (LABEL + STAGE_GAP)


class _Page:
    """The page being drawn: positions of columns and the colour of each stage."""

    def __init__(self, pen: Pen, plan: Plan, left: float, right: float) -> None:
        self.pen, self.plan, self.left, self.right = pen, plan, left, right
        self.shapes = dict(zip((unit.stage_name for unit in plan.units), plan.unit_shapes(), strict=True))
        self.last = plan.units[-1].stage_name
        numbered = [stage for stage in self.shapes if stage.startswith("stage")]
        self.colours = {stage: STAGES[index % len(STAGES)] for index, stage in enumerate(numbered)}

    def header(self, title: str) -> None:
        """Title, input shape, parameters and multiply-adds."""
        cost = self.plan.complexity().total
        self.pen.text(MARGIN, 0.24, title, 12, ha="left", weight="bold")
        self.pen.text(
            MARGIN,
            0.46,
            f"input {_by(self.plan.input_shape)},  {_short(cost.parameters)} parameters,  "
            f"{_short(cost.multiply_adds)} multiply-adds",
            7,
            ha="left",
            color=QUIET,
        )

    def body(self, columns: list[list[Item]]) -> None:
        """All columns, and the lines from the end of each to the start of the next."""
        ends, seen = [], set()
        for index, column in enumerate(columns):
            start = MARGIN + index * (self.left + self.right + GUTTER)
            y, axis = HEADER, start + self.left
            for place, (stage, run) in enumerate(groupby(column, key=lambda item: item.stage)):
                if place:
                    self.pen.line([(axis, y), (axis, y + STAGE_GAP + LABEL)], zorder=1.2)
                    y += STAGE_GAP
                y = self._stage(stage, list(run), start, y, stage in seen)
                seen.add(stage)
            ends.append((axis, y))
        for (x, y), (next_x, _) in pairwise(ends):
            gutter, below, above = x + self.right + GUTTER / 2, y + 0.17, HEADER - 0.08
            self.pen.line(
                [(x, y), (x, below), (gutter, below), (gutter, above), (next_x, above), (next_x, HEADER + LABEL)],
                color=PALE_LINES,
                arrow=True,
                zorder=1.5,
            )

    def footer(self, height: float) -> None:
        """The legend of the line styles and letters that occur in this network."""
        forks = [node for unit in self.plan.units for node in walk(unit.nodes) if isinstance(node, Fork)]
        notes = []
        if any(fork.is_residual for fork in forks):
            notes.append("shortcuts: solid keeps the shape, dashed changes it")
        if any(fork.merge.formula for fork in forks):
            notes.append("s shortcut, r residual, g gate")
        self.pen.text(MARGIN, height - 0.16, ";  ".join(notes), 6, ha="left", color=QUIET)

    def _stage(self, stage: str, items: list[Item], start: float, y: float, again: bool) -> float:
        """One band: its label, then its units; the y where the next may begin."""
        band, self.pen.fill = self.colours.get(stage, NO_STAGE)
        height = LABEL + sum(item.height for item in items)
        width, axis = self.left + self.right, start + self.left
        self.pen.box(start + width / 2, y, width, height, band, rounded=0.08, edgecolor="none", zorder=1)
        label = ("\u2026 " if again else "") + stage.replace("stage", "stage ")
        self.pen.text(start + 0.08, y + 0.13, label, 7, ha="left", weight="bold")
        self.pen.text(start + width - 0.08, y + 0.13, _by(self.shapes[stage]), 7, ha="right")
        y += LABEL
        for item in items:
            y = self._more(item, axis, y) if item.more else self._unit(item, start, axis, y)
        return y

    def _unit(self, item: Item, start: float, axis: float, y: float) -> float:
        self.pen.text(start + 0.08, y + BOX_GAP + 0.1, item.name, 5.5, ha="left", color=QUIET)
        end = self.pen.sequence(item.nodes, axis, y)
        if item.name or item.stage != self.last:
            self.pen.line([(axis, end), (axis, end + UNIT_GAP)])
        return end + UNIT_GAP

    def _more(self, item: Item, axis: float, y: float) -> float:
        self.pen.line([(axis, y), (axis, y + MORE_HEIGHT)], linestyle=":")
        self.pen.box(axis, y + 0.07, 1.3, MORE_HEIGHT - 0.14, PAPER, rounded=0.06, linestyle=":", edgecolor=LINES)
        self.pen.text(axis, y + 0.145, f"{item.more} more, identical", 6)
        self.pen.text(axis, y + 0.265, item.name, 5.5, color=QUIET)
        return y + MORE_HEIGHT


def _short(number: int) -> str:
    return f"{number / 1e9:.3g} G" if number >= 1e9 else f"{number / 1e6:.3g} M"


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
