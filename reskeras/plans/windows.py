"""Positions of sliding windows: those of convolutions and pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from reskeras.errors import ReskerasError

WindowPadding = Literal["same", "valid"]


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
