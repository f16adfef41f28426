"""Positions of sliding windows: those of convolutions and pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from reskeras.errors import ReskerasError

WindowPadding = Literal["same", "valid"]


class Window(NamedTuple):
    """Along one axis: position i of the output depends on `length` positions of the input, from i * `stride` - `before`
    on."""

    before: int = 0
    length: int = 1
    stride: int = 1


def windows(
    op: str, shape: Sequence[int], kernel: tuple[int, int], stride: tuple[int, int], padding: WindowPadding
) -> tuple[int, int]:
    """Output height and width of a window over (height, width, channels); ReskerasError, of `op`, where the input is
    smaller than it."""
    height, width = (_positions(op, *side, padding) for side in zip(shape[:2], kernel, stride, strict=True))
    return height, width


def _positions(op: str, size: int, kernel: int, stride: int, padding: WindowPadding) -> int:
    if padding == "valid" and size < kernel:
        raise ReskerasError(
            f"{op}: a window of {kernel} does not fit an input of {size} pixels; choose a larger input_shape"
        )
    return -(-size // stride) if padding == "same" else (size - kernel) // stride + 1


def windows_seen(
    shape: Sequence[int], kernel: tuple[int, int], stride: tuple[int, int], padding: WindowPadding
) -> tuple[Window, Window]:
    """The windows down and across (height, width, channels). With `same` TensorFlow pads evenly, or with one position
    more at the end, which depends on the size."""
    rows, columns = (
        Window(_padding(*side) // 2 if padding == "same" else 0, *side[1:])
        for side in zip(shape[:2], kernel, stride, strict=True)
    )
    return rows, columns


def _padding(size: int, kernel: int, stride: int) -> int:
    """Positions that `same` adds to both ends together."""
    return max((-(-size // stride) - 1) * stride + kernel - size, 0)
