"""What no spec makes: an operation that can still be compared with a plan, and the refusal of a whole graph."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from reskeras.errors import ReskerasError
from reskeras.spec.merges import Merge
from reskeras.spec.operation import Op, Shape

LONGEST_NAME = 80
GRAPHS = ("Functional", "Sequential")  # Keras' classes whose configuration is a graph, which is all their function
MODELS = (*GRAPHS, "Model")  # Keras 2's name for the first in files
KERAS = ("keras", "tensorflow", "tf_keras")  # packages whose class names mean what Keras means by them


class Unlike(ReskerasError):
    """No network of this space is near; the message says why, as what "it" has or does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign(Op):
    """`what` it is in words; `weighted` when it does the work of a convolution, so that no block can be made of it."""

    what: str
    weighted: bool = False  # type: ignore[misc]  # a field here, where other kinds of Op have a constant

    @property
    def words(self) -> str:
        """What tables and differences call it."""
        return self.what


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowest(Foreign):
    """Padding with -inf, which a maximum never takes; `rows` and `columns` as of a Pad."""

    rows: tuple[int, int]
    columns: tuple[int, int]

    def output_shape(self, shape: Shape) -> Shape:
        """Larger by the padding."""
        height, width, channels = shape
        return (height + sum(self.rows), width + sum(self.columns), channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnePosition(Foreign):
    """A reshape of one number for each channel to a map of 1x1."""

    def output_shape(self, shape: Shape) -> Shape:
        """One position."""
        return (1, 1, prod(shape))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack(Merge):
    """Maps of one channel each put side by side, as a new axis."""

    kind: ClassVar[str] = "stack"
    parts: ClassVar[tuple[str, ...]] = ()


def is_own(module: str | None) -> bool:
    """Whether a module is one of Keras'."""
    return str(module or "").partition(".")[0] in KERAS


def legible(text: object) -> str:
    """What a file says, fit for a message: one line of letters that a terminal does not obey, not too long."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in str(text))
    return shown if len(shown) <= LONGEST_NAME else f"{shown[:LONGEST_NAME]}..."
