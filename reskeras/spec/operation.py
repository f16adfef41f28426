"""What every operation of a plan says of itself: its weights, shape, cost, words and looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

Shape = tuple[int, ...]


class Weight(NamedTuple):
    """A weight of an operation: its shape, what it starts with (a number, or the name of an initialiser), and its role:
    trained by gradients, a statistic that moves without one, or a counter, which costs nothing."""

    shape: tuple[int, ...] = ()
    start: float | str = 0.0
    role: Literal["trained", "statistic", "counter"] = "trained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One operation. `keeps` says which of its tensors the backward pass needs: input, output, or both.

    `weighted` is whether it counts in a network's depth. `drawn` is how a drawing shows it: as a box, as a thin strip
    filled with `fill`, or not at all, where it belongs to the window that follows.
    """

    name: str = field(compare=False)
    kind: ClassVar[str] = ""
    weighted: ClassVar[bool] = False
    fill: ClassVar[str] = "#ffffff"

    @property
    def keeps(self) -> tuple[str, ...]:
        """Which of its tensors the backward pass needs: `input`, `output`, or both."""
        return ()

    @property
    def drawn(self) -> Literal["box", "strip", "hidden"]:
        """How a drawing shows it."""
        return "strip"

    @property
    def words(self) -> str:
        """The operation as the papers write it, such as `3x3 conv, 64, /2`."""
        return self.kind

    def weights(self, shape: Shape) -> dict[str, Weight]:
        """What its weights are called and are, for an input of `shape`."""
        return {}

    @property
    def learned(self) -> tuple[str, ...]:
        """What its trained weights are called, which depends on no shape."""
        return self._called("trained")

    @property
    def held(self) -> tuple[str, ...]:
        """What the weights are called that make its function: trained ones and statistics."""
        return self._called("trained", "statistic")

    def _called(self, *roles: str) -> tuple[str, ...]:
        return tuple(name for name, weight in self.weights((1, 1, 1)).items() if weight.role in roles)

    def output_shape(self, shape: Shape) -> Shape:
        """Shape that comes out for `shape` going in; ReskerasError when it cannot go in."""
        return shape

    def multiply_adds(self, shape: Shape, output: Shape) -> int:
        """Multiply-adds of convolutions and dense layers from `shape` to `output`, as the papers count (v1 table 1)."""
        return 0


def changes_shape(kind: type[Op]) -> bool:
    """Whether operations of a kind may give another shape than they take."""
    return kind.output_shape is not Op.output_shape


def listed(*parts: str) -> str:
    """What is not empty, with commas."""
    return ", ".join(part for part in parts if part)


def stride_words(stride: tuple[int, int]) -> str:
    """`/2`; nothing for a stride of 1."""
    if stride == (1, 1):
        return ""
    return f"/{stride[0]}" if stride[0] == stride[1] else f"/{by(stride)}"


def by(sizes: tuple[int, int]) -> str:
    """`3x3`."""
    return "x".join(map(str, sizes))
