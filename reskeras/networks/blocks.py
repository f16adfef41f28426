"""Residual blocks (v1 figure 5; v2 table 3) as a table of their convolutions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BlockForm:
    """The convolutions of a unit: kernel sizes, and widths as multiples of the stage's (v1 figure 5).

    `inner` is the index of the convolution that may be grouped (arXiv:1611.05431 figure 3 c), in blocks that have an
    inner width.
    """

    kernels: tuple[int, ...]
    widths: tuple[int, ...]
    inner: int | None = None

    @property
    def expansion(self) -> int:
        """Ratio of a unit's output channels to the stage's width."""
        return self.widths[-1]

    def channels(self, width: int, inner_factor: float) -> tuple[int, ...]:
        """Output channels of each convolution in a stage of `width`."""
        inner = 1.0 if self.inner is None else inner_factor
        return (*(max(round(width * multiple * inner), 1) for multiple in self.widths[:-1]), width * self.expansion)


BLOCKS = {
    "basic": BlockForm(kernels=(3, 3), widths=(1, 1)),
    "bottleneck": BlockForm(kernels=(1, 3, 1), widths=(1, 1, 4), inner=1),
    "single": BlockForm(kernels=(3,), widths=(1,)),
}
