"""What no spec produces: operations that can still be compared with a plan, and the rejection of a whole graph."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from reskeras.errors import ReskerasError
from reskeras.plans.merges import Merge
from reskeras.plans.operation import Op, Shape

LONGEST_NAME = 80
GRAPHS = ("Functional", "Sequential")  # Keras' classes that the graph in their configuration fully defines
MODELS = (*GRAPHS, "Model")  # Keras 2's name for Functional in files
KERAS = ("keras", "tensorflow", "tf_keras")  # packages whose class names mean what Keras means by them


class Unlike(ReskerasError):
    """No network in this design space is near; the message gives the reason, as what "it" has or does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign(Op):
    """An operation outside this design space, `what` in words; a `weighted` one acts as a convolution, so it does not
    fit into a block."""

    what: str
    weighted: bool = False  # type: ignore[misc]  # a field here, where other kinds of Op have a constant

    @property
    def words(self) -> str:
        """Its name in tables and differences."""
        return self.what


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowest(Foreign):
    """Padding with -inf, which a maximum never selects; `rows` and `columns` as in Pad."""

    rows: tuple[int, int]
    columns: tuple[int, int]

    def output_shape(self, shape: Shape) -> Shape:
        """Height and width grow by the padding."""
        height, width, channels = shape
        return (height + sum(self.rows), width + sum(self.columns), channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnePosition(Foreign):
    """A reshape of a vector of channels to a 1x1 map."""

    def output_shape(self, shape: Shape) -> Shape:
        """One position."""
        return (1, 1, prod(shape))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack(Merge):
    """Single-channel maps stacked along a new channel axis."""

    kind: ClassVar[str] = "stack"
    parts: ClassVar[tuple[str, ...]] = ()


def is_own(module: str | None) -> bool:
    """Whether a module belongs to Keras."""
    return str(module or "").partition(".")[0] in KERAS


def legible(text: object) -> str:
    """Text from a file made safe for a message: one line, no control characters, not too long."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in str(text))
    return shown if len(shown) <= LONGEST_NAME else f"{shown[:LONGEST_NAME]}..."
