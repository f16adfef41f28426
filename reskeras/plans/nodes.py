"""Sequences of operations and forks, which units are made of, and the fold, walk and map over them.

A sequence is a tuple of nodes; a node is an operation or a fork; a fork sends one tensor through branches (sequences
again; an empty one is the identity) and merges their outputs. Residual units, squeeze-and-excitation and Inception
cells are all forks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeVar

from reskeras.errors import ReskerasError
from reskeras.plans.merges import ADD, GATE, RESIDUAL, SHORTCUT, Merge
from reskeras.plans.operation import Op, Shape

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """Parallel branches from one tensor, and their merge."""

    name: str = field(compare=False)
    branches: tuple[Sequence, ...]
    merge: Merge = ADD

    @property
    def words(self) -> str:
        """The merge in words."""
        return self.merge.words

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the branches: their roles in a residual unit or a gate, otherwise numbers."""
        return (
            self.merge.parts
            if self.is_residual or self.is_gate
            else tuple(f"branch {number + 1}" for number in range(len(self.branches)))
        )

    @property
    def is_residual(self) -> bool:
        """Whether its branches are a shortcut, a residual and possibly a gate, in that order."""
        return {SHORTCUT, RESIDUAL} <= set(self.merge.parts) and len(self.branches) == len(self.merge.parts)

    @property
    def is_gate(self) -> bool:
        """Whether it multiplies the stream by a gate computed from it, as squeeze-and-excitation does."""
        return (
            GATE in self.merge.parts
            and SHORTCUT not in self.merge.parts
            and len(self.branches) == len(self.merge.parts)
            and self.branches[0] == ()
        )

    def branch(self, part: str) -> Sequence | None:
        """The branch with the role `part`; None if there is none."""
        return next((branch for name, branch in zip(self.parts, self.branches, strict=True) if name == part), None)

    def merged_shape(self, shapes: list[Shape]) -> Shape:
        """Merged shape of branches of `shapes`; ReskerasError if they do not fit."""
        if (merged := self.merge.shape(tuple(shapes))) is None:
            listed = " and ".join("x".join(map(str, shape)) for shape in shapes)
            raise ReskerasError(f"{self.name}: branches of {listed} cannot be merged by {self.merge.kind}")
        return merged


Node = Op | Fork
Sequence = tuple[Node, ...]


def fold(
    nodes: Sequence, value: Value, through: Callable[[Op, Value], Value], join: Callable[[Fork, list[Value]], Value]
) -> Value:
    """Fold `value` over a sequence: `through` at each operation, `join` of the values that a fork's branches end with.
    Shapes, tensors and costs are all computed this way."""
    for node in nodes:
        if isinstance(node, Fork):
            value = join(node, [fold(branch, value, through, join) for branch in node.branches])
        else:
            value = through(node, value)
    return value


def walk(nodes: Sequence) -> Iterator[Node]:
    """All nodes, depth first; a fork comes before the nodes of its branches."""
    for node in nodes:
        yield node
        if isinstance(node, Fork):
            for branch in node.branches:
                yield from walk(branch)


def rewritten(nodes: Sequence, rewrite: Callable[[Sequence], Sequence]) -> Sequence:
    """`nodes` after `rewrite` of every sequence in it, innermost first."""
    return rewrite(
        tuple(
            replace(node, branches=tuple(rewritten(branch, rewrite) for branch in node.branches))
            if isinstance(node, Fork)
            else node
            for node in nodes
        )
    )


def mapped(nodes: Sequence, change: Callable[[Op], Op | None]) -> Sequence:
    """`nodes` with `change` applied to each operation, also inside forks; None drops it."""
    return rewritten(
        nodes,
        lambda inner: tuple(
            made for node in inner if (made := node if isinstance(node, Fork) else change(node)) is not None
        ),
    )


def sequence_ops(nodes: Sequence) -> Iterator[Op]:
    """All operations of a sequence, branch after branch."""
    return (node for node in walk(nodes) if not isinstance(node, Fork))


def sequence_shape(nodes: Sequence, shape: Shape) -> Shape:
    """Shape after a sequence of nodes."""
    return fold(nodes, shape, lambda node, before: node.output_shape(before), Fork.merged_shape)


def sequence_stride(nodes: Sequence, stride: tuple[int, int] = (1, 1)) -> tuple[int, int]:
    """Stride of the output of a sequence whose input has `stride`: pixels between positions, down and across."""

    def through(node: Op, before: tuple[int, int]) -> tuple[int, int]:
        down, across = getattr(node, "stride", (1, 1))
        return before[0] * down, before[1] * across

    return fold(nodes, stride, through, lambda fork, strides: max(strides))


def placed_ops(nodes: Sequence, shape: Shape) -> list[tuple[Op, Shape]]:
    """All operations of a sequence, branch after branch, each with its input shape."""
    placed: list[tuple[Op, Shape]] = []

    def through(node: Op, before: Shape) -> Shape:
        placed.append((node, before))
        return node.output_shape(before)

    fold(nodes, shape, through, Fork.merged_shape)
    return placed


def followed(nodes: Sequence) -> Iterator[tuple[Op, Node | None]]:
    """All operations of a sequence, each with the next node of its own sequence; None for the last."""
    for node, following in zip(nodes, (*nodes[1:], None), strict=False):
        if isinstance(node, Fork):
            for branch in node.branches:
                yield from followed(branch)
        else:
            yield node, following


def weighted_layers(nodes: Sequence) -> int:
    """Convolutions and dense layers on the longest path through a sequence; gates do not count."""
    return fold(
        nodes,
        0,
        lambda node, count: count + node.weighted,
        lambda fork, counts: max(count for count, part in zip(counts, fork.parts, strict=True) if part != GATE),
    )
