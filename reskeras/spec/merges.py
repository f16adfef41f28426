"""How the branches of a fork come together: the one table of what each kind of merge is, keeps, and looks like.

A new kind is a class here and its function of tensors in `reskeras.graph.functions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reskeras.spec.operation import Shape

SHORTCUT, RESIDUAL, GATE, STREAM = "shortcut", "residual", "gate", "stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """One merge. Branches are of one shape unless `shape` says otherwise.

    `parts` is what its branches are in a unit, in their order; none for a merge that only puts branches together.
    `needs_branches` is whether the backward pass needs what they gave, as a product's gradient needs its factors.
    `symbol` stands in a drawing.
    """

    kind: ClassVar[str] = ""
    parts: ClassVar[tuple[str, ...]] = (SHORTCUT, RESIDUAL)
    commutes: ClassVar[bool] = False
    needs_branches: ClassVar[bool] = False
    symbol: ClassVar[str] = "+"

    @property
    def words(self) -> str:
        """The merge in a table or difference."""
        return self.kind.replace("_", " ")

    @property
    def formula(self) -> str:
        """What stands beside its symbol, where that does not say all; s shortcut, r residual, g gate."""
        return ""

    def shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        """Shape after the merge of branches of `shapes`; None when they do not fit."""
        return shapes[0] if len(set(shapes)) == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Merge):
    """The sum."""

    kind: ClassVar[str] = "add"
    commutes: ClassVar[bool] = True


ADD = Add()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledAdd(Merge):
    """The sum, branch i times `factors[i]` (v2 figure 2 b)."""

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
    """The product, which broadcasts: a stream times its gate (squeeze-and-excitation, arXiv:1709.01507)."""

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
    """Channels side by side."""

    kind: ClassVar[str] = "concat"
    parts: ClassVar[tuple[str, ...]] = ()
    symbol: ClassVar[str] = "concat"

    def shape(self, shapes: tuple[Shape, ...]) -> Shape | None:
        fits = len({shape[:-1] for shape in shapes}) == 1
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes)) if fits else None


MERGES: dict[str, type[Merge]] = {kind.kind: kind for kind in Merge.__subclasses__()}
