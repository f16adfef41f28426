"""Which objects are proposed from which of a pyramid's maps: by map, and as a plot over the size of the objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from reskeras.report.styles import COLOURS, PAPER, QUIET, styled
from reskeras.tasks.detection.average_precision import measured_overlaps
from reskeras.tasks.detection.recall import Proposed

if TYPE_CHECKING:
    from reskeras.tasks.detection.objects import Objects

BY_NONE = -1
NONE: dict[str, Any] = {"color": PAPER, "edgecolor": QUIET, "hatch": "////", "linewidth": 0.5}  # its bars
PER_OCTAVE = 4  # bars of the plot for twice the side


@dataclass(frozen=True)
class OfMap:
    """The objects that are proposed from the map of a `stride`, 0 for those that no proposal covers: their number, and
    the quartiles of their sides, the roots of their areas in pixels of their images (None without objects)."""

    stride: float
    objects: int
    quartiles: tuple[float, float, float] | None

    @property
    def name(self) -> str:
        """`stride 16`."""
        return f"stride {self.stride:g}" if self.stride else "none"


@dataclass(frozen=True)
class ByMap:
    """For each object that is not ignored the map whose proposal covers it best, if at an IoU of `overlap` at least.

    `sides` (n,) are the roots of the objects' areas in pixels of their images, `maps` (n,) the places of the maps in
    `strides`, BY_NONE where no proposal covers the object.
    """

    strides: tuple[float, ...]
    overlap: float
    sides: np.ndarray = field(repr=False, compare=False)
    maps: np.ndarray = field(repr=False, compare=False)

    @property
    def table(self) -> list[OfMap]:
        """A row for each map, by stride, and one for the objects that no proposal covers."""
        rows = []
        for place, stride in (*enumerate(self.strides), (BY_NONE, 0)):
            sides = self.sides[self.maps == place]
            quartiles = tuple(np.quantile(sides, (0.25, 0.5, 0.75)).tolist()) if len(sides) else None
            rows.append(OfMap(stride, len(sides), quartiles))
        return rows

    def as_dict(self) -> list[dict[str, Any]]:
        """The table as plain data for JSON; `stride` is null in the row of objects without a proposal."""
        return [
            {"stride": each.stride or None, "objects": each.objects, "sides": each.quartiles and [*each.quartiles]}
            for each in self.table
        ]


def proposed_by_map(
    proposals: Sequence[Proposed], objects: Objects, strides: Sequence[float], count: int, overlap: float = 0.5
) -> ByMap:
    """The map that proposes each object best, among the first `count` proposals of its image; of equally good ones the
    first."""
    sides, maps = [np.zeros(0)], [np.zeros(0, np.int64)]
    for index, (boxes, places) in enumerate(proposals):
        rows = slice(objects.starts[index], objects.starts[index + 1])
        wanted = objects.boxes[rows][~objects.ignored[rows]]
        shares = measured_overlaps(np.reshape(boxes[:count], (-1, 4)), wanted)
        best = np.full(len(wanted), BY_NONE)
        if len(shares):
            best = np.where(shares.max(axis=0) >= overlap, places[shares.argmax(axis=0)], BY_NONE)
        maps.append(best)
        sides.append(np.sqrt((wanted[:, 2] - wanted[:, 0]) * (wanted[:, 3] - wanted[:, 1])))
    return ByMap(tuple(strides), overlap, np.concatenate(sides), np.concatenate(maps))


@styled
def draw_by_map(found: ByMap) -> Any:
    """A matplotlib figure: how many objects of each size are proposed from which map, bars one upon the other."""
    from matplotlib.ticker import FuncFormatter

    from reskeras.report.figures import Figure, whole_numbers
    from reskeras.report.legends import add_legend

    figure = Figure()
    axis = figure.subplots()
    sides = np.maximum(found.sides, 1.0)
    first, last = (PER_OCTAVE * np.log2(limit(sides)) if len(sides) else 0.0 for limit in (np.min, np.max))
    edges = 2.0 ** (np.arange(np.floor(first), np.ceil(last) + 2) / PER_OCTAVE)
    bottom = np.zeros(len(edges) - 1)
    for place, each in zip((*range(len(found.strides)), BY_NONE), found.table, strict=True):
        counts, _ = np.histogram(sides[found.maps == place], edges)
        axis.bar(
            edges[:-1],
            counts,
            np.diff(edges) * 0.94,
            bottom,
            align="edge",
            label=f"{each.name} ({each.objects:,})",
            **(NONE if place == BY_NONE else {"color": COLOURS[place % len(COLOURS)]}),
        )
        bottom += counts
    axis.set_xscale("log", base=2)
    axis.set_ylim(0, 1.06 * max(bottom.max(initial=0), 1))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda side, _: f"{side:g}"))
    whole_numbers(axis.yaxis)
    axis.set(
        xlabel="side of the object in its image (pixels)", ylabel="objects", title="Which map proposes which objects"
    )
    axis.grid(visible=False, axis="x")
    add_legend(axis, inside=False)
    return figure


def by_map_in_words(found: ByMap) -> str:
    """Alternative text of the plot."""
    parts = []
    for each in found.table:
        low, _, high = each.quartiles or (0, 0, 0)
        sides = f", half of them with sides of {low:.0f} to {high:.0f} pixels" if each.objects else ""
        parts.append(f"{each.name} {each.objects:,}{sides}")
    return f"Objects by the map that proposes them: {'; '.join(parts)}."
