"""Merges of a fork's branches: fields, shapes and drawing of each kind.

A new kind needs a class here and its tensor function in `reskeras.graph.functions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reskeras.plans.operation import Shape, by_kind

SHORTCUT, RESIDUAL, GATE, STREAM = "shortcut", "residual", "gate", "stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """One merge. All branches have the same shape unless `shape` is overridden.

    `parts` names the roles of the branches, in order; empty for a merge without roles (concatenation).
    `needs_branches`: whether the backward pass needs the branches' outputs, as a product's gradient does. `symbol`
    stands for the merge in diagrams.
    """

    kind: ClassVar[str] = ""
    parts: ClassVar[tuple[str, ...]] = (SHORTCUT, RESIDUAL)
    commutes: ClassVar[bool] = False
    needs_branches: ClassVar[bool] = False
    symbol: ClassVar[str] = "+"

    @property
    def words(self) -> str:
        """The merge in words, for tables and diffs."""
        return self.kind.replace("_", " ")

    @property
    def formula(self) -> str:
        """The formula shown beside a symbol that does not say everything: s shortcut, r residual, g gate."""
        return ""

    def shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Merged shape of branches of `shapes`; None if they do not fit."""
        return shapes[0] if len(set(shapes)) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Merge):
    """Sum of the branches."""

    kind: ClassVar[str] = "add"
    commutes: ClassVar[bool] = True


ADD = Add()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledAdd(Merge):
    """Weighted sum: branch i times `factors[i]` (v2 figure 2 b)."""

    kind: ClassVar[str] = "scaled_add"
    factors: tuple[float, ...]

    @property
    def words(self) -> str:
        return f"scaled add, {' and '.join(f'{factor:g}' for factor in self.factors)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedAdd(Merge):
    """Shortcut x (1 - gate) + residual, which with `exclusive` is also multiplied by the gate (v2 section 3.1)."""

    kind: ClassVar[str] = "gated_add"
    parts: ClassVar[tuple[str, ...]] = (SHORTCUT, RESIDUAL, GATE)
    needs_branches: ClassVar[bool] = True
    exclusive: bool = False

    @property
    def words(self) -> str:
        return "exclusive gated add" if self.exclusive else "gated add"

    @property
    def formula(self) -> str:
        return "(1 - g) s + g r" if self.exclusive else "(1 - g) s + r"


@dataclass(frozen=True, slots=True, kw_only=True)
class Multiply(Merge):
    """Broadcasting product of the stream and its gate (squeeze-and-excitation, arXiv:1709.01507)."""

    kind: ClassVar[str] = "multiply"
    parts: ClassVar[tuple[str, ...]] = (STREAM, GATE)
    commutes: ClassVar[bool] = True
    needs_branches: ClassVar[bool] = True
    symbol: ClassVar[str] = "\u00d7"

    def shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        merged = tuple(max(sizes) for sizes in zip(*shapes, strict=False))
        fits = all(size in (1, full) for shape in shapes for size, full in zip(shape, merged, strict=True))
        return merged if fits else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Concat(Merge):
    """Concatenation along the channel axis."""

    kind: ClassVar[str] = "concat"
    parts: ClassVar[tuple[str, ...]] = ()
    symbol: ClassVar[str] = "concat"

    def shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        fits = len({shape[:-1] for shape in shapes}) == 1
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes)) if fits else None


# those of this file, as with operations
MERGES: dict[str, type[Merge]] = by_kind(kind for kind in Merge.__subclasses__() if kind.__module__ == __name__)
