"""Geometries of a detector, as rows of a table: where the cells of its maps are taken to look, and what follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reskeras.plans.receptive_field import ReceptiveField


@dataclass(frozen=True)
class Geometry:
    """`offset` is the place, in pixels, that the first cell of a map looks at, by its receptive field; `step` is the
    distance of the anchors of two cells, by the receptive field, the side of the canvas and the cells along it. With
    `rounded` the edges of anchors are whole pixels from there. Anchors with a share of `inside` or less of their area
    in the image are neither trained nor propose; proposals with a side below `smallest` pixels are dropped; regions of
    less than `least` cells have as many, which only RoIAlign does."""

    offset: Callable[[ReceptiveField], float]
    step: Callable[[ReceptiveField, int, int], float] = lambda field, side, cells: float(field.stride)
    rounded: bool = False
    inside: float = 0.5
    smallest: float = 1.0
    least: float = 0.0


GEOMETRIES = {
    "exact": Geometry(lambda field: field.middle),
    "cell": Geometry(lambda field: field.stride / 2),
    "torchvision": Geometry(
        lambda field: 0.0,
        # of an extra map of 13 cells on 800 pixels 61, although every cell is one in two of a map of stride 32
        lambda field, side, cells: float(side // cells),
        rounded=True,
        inside=-1.0,
        smallest=1e-3,
        least=1.0,
    ),
}
