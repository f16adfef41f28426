"""Layout and drawing of operations and forks in network diagrams. In inches; y grows downwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reskeras.plans import operations as op
from reskeras.plans.merges import RESIDUAL, STREAM, Concat, ScaledAdd
from reskeras.plans.nodes import Fork, Node, Sequence
from reskeras.plans.operation import changes_shape
from reskeras.report.styles import INK, LINES, PAPER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BOX_HEIGHT, STRIP_HEIGHT, RADIUS = 0.2, 0.135, 0.075
BOX_GAP, STRIP_GAP = 0.1, 0.02  # above a box, above a strip
SPLIT, JOIN = 0.1, 0.09  # from a fork's start to its branches, from their ends to the merge
SIDE_GAP, ROUND = 0.2, 0.16  # between branches; radius of a shortcut's corners
BESIDE = 0.35  # from a merge to what is written beside it, clear of the strips on the axis
BOX_FONT, STRIP_FONT = 6.5, 5.5
CHARACTER = 0.0096  # inches of a character for each point of font size, DejaVu Sans


@dataclass(frozen=True)
class Extent:
    """Space that an element takes: left and right of its axis, and its height."""

    left: float
    right: float
    height: float


def visible(nodes: Sequence) -> list[Node]:
    """Nodes without explicit zero padding, which belongs to the following window operation."""
    return [node for node in nodes if isinstance(node, Fork) or node.drawn != "hidden"]


def measure(nodes: Sequence) -> Extent:
    """Space for a sequence of nodes."""
    left = right = height = 0.0
    for node in visible(nodes):
        room = _measure_node(node)
        left, right, height = max(left, room.left), max(right, room.right), height + room.height
    return Extent(left, right, height)


def _measure_node(node: Node) -> Extent:
    if isinstance(node, Fork):
        return _Layout(node).extent
    font, least, gap, height = (
        (BOX_FONT, 1.05, BOX_GAP, BOX_HEIGHT) if node.drawn == "box" else (STRIP_FONT, 0.62, STRIP_GAP, STRIP_HEIGHT)
    )
    half = max(least, len(node.words) * font * CHARACTER + 0.1) / 2
    return Extent(half, half, gap + height)


class _Layout:
    """Layout of a fork: offsets of its branches' axes from its own axis, and its total extent."""

    def __init__(self, fork: Fork) -> None:
        self.rooms = [measure(branch) for branch in fork.branches]
        self.main, self.offsets = _main_branch(fork), [0.0] * len(self.rooms)
        tallest = max(room.height for room in self.rooms)
        if self.main is None:
            self._side_by_side()
        else:
            self._around(self.main)
        self.inner = max(tallest, 2 * ROUND)
        left = max(room.left - offset for room, offset in zip(self.rooms, self.offsets, strict=True))
        right = max(room.right + offset for room, offset in zip(self.rooms, self.offsets, strict=True))
        if fork.merge.formula:
            right = max(right, BESIDE + 0.8)  # the formula beside the merge
        self.extent = Extent(max(left, 0.3), max(right, 0.3), SPLIT + self.inner + JOIN + 2 * RADIUS)

    def _side_by_side(self) -> None:
        width = sum(room.left + room.right for room in self.rooms) + SIDE_GAP * (len(self.rooms) - 1)
        at = -width / 2
        for index, room in enumerate(self.rooms):
            self.offsets[index] = at + room.left
            at += room.left + room.right + SIDE_GAP

    def _around(self, straight: int) -> None:
        """Put branch number `straight` on the fork's axis and the others beside it."""
        main = self.rooms[straight]
        for index, room in enumerate(self.rooms):
            if index == 2:  # the gate stands on the left
                self.offsets[index] = -(max(main.left, 0.1) + SIDE_GAP + room.right)
            elif index != straight:
                self.offsets[index] = max(main.right, 0.1) + SIDE_GAP + room.left


def _main_branch(fork: Fork) -> int | None:
    """The branch on the fork's axis: the residual, or the stream that a gate multiplies."""
    return next((place for place, part in enumerate(fork.parts) if part in (RESIDUAL, STREAM)), None)


class Pen:
    """Draws sequences on matplotlib axes; `fill` is the stage's colour of convolutions."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self.fill = PAPER

    def sequence(self, nodes: Sequence, x: float, y: float) -> float:
        """Draw nodes downwards from (x, y); returns the y of their end."""
        for node in visible(nodes):
            y = self._fork(node, x, y) if isinstance(node, Fork) else self._op(node, x, y)
        return y

    def text(self, x: float, y: float, text: str, size: float, **how) -> None:
        """Draw text at (x, y), centred by default."""
        style = {"ha": "center", "va": "center", "color": INK, "zorder": 5, **how}
        self.axes.text(x, y, text, fontsize=size, **style)

    def line(self, points: list[tuple[float, float]], *, arrow: bool = False, **style) -> None:
        """Draw a line through points with rounded corners; `arrow` adds a head at its end."""
        from matplotlib.patches import FancyArrowPatch
        from matplotlib.path import Path

        vertices, codes = [points[0]], [Path.MOVETO]
        for before, corner, after in zip(points, points[1:], points[2:], strict=False):
            enter, leave = _towards(corner, before), _towards(corner, after)
            vertices += [enter, corner, leave]
            codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
        path = Path([*vertices, points[-1]], [*codes, Path.LINETO])
        style = {"color": LINES, "linewidth": 0.7, "zorder": 2, **style}
        self.axes.add_patch(
            FancyArrowPatch(
                path=path,
                arrowstyle="-|>,head_length=2,head_width=1.2" if arrow else "-",
                shrinkA=0,
                shrinkB=0,
                mutation_scale=1,
                fill=arrow,
                **style,
            )
        )

    def box(self, x: float, y: float, width: float, height: float, fill: str, *, rounded: float = 0.0, **style) -> None:
        """Draw a box with the middle of its top edge at (x, y)."""
        from matplotlib.patches import FancyBboxPatch

        style = {"edgecolor": LINES, "linewidth": 0.6, "zorder": 3, **style}
        shape = f"round,pad=0,rounding_size={rounded}" if rounded else "square,pad=0"
        self.axes.add_patch(FancyBboxPatch((x - width / 2, y), width, height, boxstyle=shape, facecolor=fill, **style))

    def _op(self, node: op.Op, x: float, y: float) -> float:
        room, boxed = _measure_node(node), node.drawn == "box"
        top, width = y + (BOX_GAP if boxed else STRIP_GAP), room.left + room.right
        self.line([(x, y), (x, top)], arrow=boxed)
        if boxed:
            fill = self.fill if isinstance(node, op.Conv) else PAPER
            self.box(x, top, width, BOX_HEIGHT, fill, rounded=0.06 if "pool" in node.kind else 0.0)
        else:
            self.box(x, top, width, STRIP_HEIGHT, node.fill, linewidth=0.4, rounded=0.03)
        self.text(x, (top + y + room.height) / 2 + 0.008, node.words, BOX_FONT if boxed else STRIP_FONT)
        return y + room.height

    def _fork(self, fork: Fork, x: float, y: float) -> float:
        layout = _Layout(fork)
        start, end = y + SPLIT, y + SPLIT + layout.inner
        merge = end + JOIN + RADIUS
        for index, (branch, offset) in enumerate(zip(fork.branches, layout.offsets, strict=True)):
            room = layout.rooms[index]
            if offset == 0.0:
                self.line([(x, y), (x, start)])
                reached = self.sequence(branch, x, start)
                self.line([(x, reached), (x, merge - RADIUS)], arrow=True)
                continue
            dashes = "--" if fork.is_residual and index == 0 and _changes_shape(branch) else "-"
            top = start + (layout.inner - room.height) / 2
            side, edge = x + offset, x + (RADIUS if offset > 0 else -RADIUS)
            turn = y + 0.04
            if not room.height:
                self.line([(x, turn), (side, turn), (side, merge), (edge, merge)], arrow=True, linestyle=dashes)
                continue
            self.line([(x, turn), (side, turn), (side, top)], linestyle=dashes)
            bottom = self.sequence(branch, side, top)
            self.line([(side, bottom), (side, merge), (edge, merge)], arrow=True, linestyle=dashes)
        if layout.main is None and 0.0 not in layout.offsets:
            self.line([(x, y), (x, y + 0.04)])
        self._merge(fork, x, merge)
        return merge + RADIUS

    def _merge(self, fork: Fork, x: float, y: float) -> None:
        from matplotlib.patches import Circle

        if fork.merge == Concat():
            self.box(x, y - RADIUS, 0.6, 2 * RADIUS, PAPER, rounded=0.05, zorder=4)
            self.text(x, y, "concat", STRIP_FONT)
            return
        self.axes.add_patch(Circle((x, y), RADIUS, facecolor=PAPER, edgecolor=LINES, linewidth=0.8, zorder=4))
        self.text(x, y, fork.merge.symbol, 8)
        if isinstance(fork.merge, ScaledAdd) and fork.is_residual:
            shortcut, residual = fork.merge.factors
            self.text(x + BESIDE, y + 0.035, f"\u00d7 {shortcut:g}", STRIP_FONT, ha="left", va="top")
            self.text(x - 0.1, y - RADIUS, f"\u00d7 {residual:g}", STRIP_FONT, ha="right", va="center")
        if fork.merge.formula:
            self.text(x + BESIDE, y + 0.035, fork.merge.formula, STRIP_FONT, ha="left", va="top")


def _changes_shape(branch: Sequence) -> bool:
    return any(isinstance(node, Fork) or changes_shape(type(node)) for node in visible(branch))


def _towards(corner: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """The point where a rounded corner begins, towards its neighbour."""
    (x, y), (to_x, to_y) = corner, other
    length = max(abs(to_x - x), abs(to_y - y), 1e-9)
    share = min(ROUND, length / 2) / length
    return x + (to_x - x) * share, y + (to_y - y) * share
