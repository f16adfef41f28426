"""Titles of axes that stay inside the figure, and clear of the axes beside them."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from reskeras.report.fonts import shortened
from reskeras.report.styles import SMALL

MARGIN = 6 / 72  # inches between a title and the edge, or the axes beside it


def fit_title(axes: Axes, renderer: Any) -> None:
    """Fit the left title of `axes` into the room above them: begin further left, then in a smaller font, then shortened
    in its middle."""
    title: Any = axes._left_title  # type: ignore[attr-defined]
    if not title.get_text() or not axes.get_visible():
        return
    title.set_x(0.0)
    left, right = _room(axes, renderer)
    frame = axes.get_window_extent(renderer)
    if frame.x0 + _width(title, renderer) > right:
        while _width(title, renderer) > right - left and title.get_fontsize() > SMALL:
            title.set_fontsize(title.get_fontsize() - 0.5)
        whole = title.get_text()
        most = len(whole)
        while _width(title, renderer) > right - left and most > 1:
            most -= 1
            title.set_text(shortened(whole, most))
        start = max(min(right - _width(title, renderer), frame.x0), left)
        title.set_x((start - frame.x0) / frame.width)


def _width(title: Any, renderer: Any) -> float:
    return float(title.get_window_extent(renderer).width)


def _room(axes: Axes, renderer: Any) -> tuple[float, float]:
    """Where the room for a title begins and ends, in pixels: at the figure's edges or at the titled axes in its row."""
    figure: Any = axes.figure
    margin = MARGIN * figure.dpi
    frame = axes.get_window_extent(renderer)
    others = [each for each in figure.axes if each is not axes and each._left_title.get_text()]
    beside = [each.get_window_extent(renderer) for each in others]
    row = [each for each in beside if each.y0 < frame.y1 and frame.y0 < each.y1]
    left = max([0.0, *(each.x1 for each in row if each.x1 <= frame.x0)]) + margin
    right = min([figure.bbox.x1, *(each.x0 for each in row if each.x0 >= frame.x1)]) - margin
    return left, right
