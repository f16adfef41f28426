"""Base class of a plan's operations: weights, shapes, cost, wording and drawing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple, Protocol, TypeVar

from reskeras.plans.windows import Window

Shape = tuple[int, ...]


class Kind(Protocol):
    """What a class of operations or merges has."""

    kind: ClassVar[str]


K = TypeVar("K", bound=Kind)


class Weight(NamedTuple):
    """A weight of an operation: its shape, its initial value (a number, or the name of an initialiser), and its role:
    trained by gradients, a statistic updated without them, or a counter, which is not counted as a parameter."""

    shape: tuple[int, ...] = ()
    start: float | str = 0.0
    role: Literal["trained", "statistic", "counter"] = "trained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One operation. `weighted`: whether it counts towards a network's depth; `later`: fields that are left out of its
    data at their defaults, because earlier versions lack them; `fill`: its colour where it is drawn as a strip."""

    name: str = field(compare=False)
    kind: ClassVar[str] = ""
    weighted: ClassVar[bool] = False
    later: ClassVar[tuple[str, ...]] = ()
    fill: ClassVar[str] = "#ffffff"

    @property
    def keeps(self) -> tuple[str, ...]:
        """Which of its tensors the backward pass needs: `input`, `output`, or both."""
        return ()

    @property
    def drawn(self) -> Literal["box", "strip", "hidden"]:
        """How diagrams show it: a box, a thin strip, or not at all (padding, which belongs to the next window)."""
        return "strip"

    @property
    def words(self) -> str:
        """The operation as the papers write it, such as `3x3 conv, 64, /2`."""
        return self.kind

    def weights(self, shape: Shape) -> dict[str, Weight]:
        """Its weights by name, for an input of `shape`."""
        return {}

    @property
    def learned(self) -> tuple[str, ...]:
        """Names of its trained weights, which do not depend on the input shape."""
        return self._called("trained")

    @property
    def held(self) -> tuple[str, ...]:
        """Names of the weights that determine its output: trained ones and statistics."""
        return self._called("trained", "statistic")

    def _called(self, *roles: str) -> tuple[str, ...]:
        return tuple(name for name, weight in self.weights((1, 1, 1)).items() if weight.role in roles)

    def output_shape(self, shape: Shape) -> Shape:
        """Output shape for an input of `shape`; ReskerasError if that does not fit."""
        return shape

    def sees(self, shape: Shape) -> tuple[Window, Window] | None:
        """The window of each position of its output, down and across an input of `shape`; None where its output has no
        positions, or each depends on the whole input."""
        return Window(), Window()

    def multiply_adds(self, shape: Shape, output: Shape) -> int:
        """Multiply-adds of convolutions and dense layers from `shape` to `output`, as the papers count (v1 table 1)."""
        return 0


def changes_shape(kind: type[Op]) -> bool:
    """Whether operations of this kind can change the shape."""
    return kind.output_shape is not Op.output_shape


def listed(*parts: str) -> str:
    """The non-empty parts, joined by commas."""
    return ", ".join(part for part in parts if part)


def stride_words(stride: tuple[int, int]) -> str:
    """`/2`; empty for a stride of 1."""
    if stride == (1, 1):
        return ""
    return f"/{stride[0]}" if stride[0] == stride[1] else f"/{by(stride)}"


def by(sizes: tuple[int, int]) -> str:
    """`3x3`."""
    return "x".join(map(str, sizes))


def by_kind(classes: Iterable[type[K]]) -> dict[str, type[K]]:
    """A table of classes by their kind. TypeError for one without a kind of its own, which would be taken for another,
    and for one that is derived from another and would be left out."""
    found: dict[str, type[K]] = {}
    for each in classes:
        kind = vars(each).get("kind")
        other = found.get(kind or "")
        # a dataclass with slots is a second class, made of one that may still be there
        if not kind or (other and other.__qualname__ != each.__qualname__):
            raise TypeError(
                f"{each.__name__} is of kind {kind!r}{f', as is {other.__name__}' if other else ''}; "
                "give it a kind of its own"
            )
        if derived := each.__subclasses__():
            raise TypeError(f"{derived[0].__name__} is derived from {each.__name__}; derive it from its base")
        found[kind] = each
    return found
