"""Plan: a network as named units of operations and forks. Everything after the spec works on this.

A unit is a sequence of nodes; a node is an operation or a fork; a fork sends one tensor through branches
(each again a sequence, an empty one is the identity) and merges what comes out. Residual units, squeeze-and-
excitation and Inception cells are all forks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from reskeras.errors import ReskerasError, unknown
from reskeras.printable import short_repr
from reskeras.spec.operations import Op, Shape

if TYPE_CHECKING:
    from reskeras.spec.complexity import Complexity

Merge = Literal["add", "concat", "scaled_add", "gated_add", "multiply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """Branches from one tensor, and how they come together.

    add: the sum. scaled_add: the sum, branch i times `factors[i]`. multiply: the product, which broadcasts.
    concat: channels side by side. gated_add: branches (shortcut, residual, gate); shortcut x (1 - gate) +
    residual, which with `exclusive` is also multiplied by the gate (v2 section 3.1).
    """

    name: str = field(compare=False)
    branches: tuple[Sequence, ...]
    merge: Merge = "add"
    factors: tuple[float, ...] = ()
    exclusive: bool = False

    def merged_shape(self, shapes: tuple[Shape, ...]) -> Shape:
        """Shape after the merge of branches of `shapes`; ReskerasError when they do not fit."""
        if self.merge == "concat":
            fits = len({shape[:-1] for shape in shapes}) == 1
            merged = (*shapes[0][:-1], sum(shape[-1] for shape in shapes))
        elif self.merge == "multiply":
            merged = tuple(max(sizes) for sizes in zip(*shapes, strict=False))
            fits = all(size in (1, full) for shape in shapes for size, full in zip(shape, merged, strict=True))
        else:
            fits, merged = len(set(shapes)) == 1, shapes[0]
        if not fits:
            listed = " and ".join("x".join(map(str, shape)) for shape in shapes)
            raise ReskerasError(f"{self.name}: branches of {listed} cannot be merged by {self.merge}")
        return merged


Node = Op | Fork
Sequence = tuple[Node, ...]


def _mapped(nodes: Sequence, change: Callable[[Op], Op | None]) -> Sequence:
    made = (replace(node, branches=tuple(_mapped(branch, change) for branch in node.branches))
            if isinstance(node, Fork) else change(node) for node in nodes)
    return tuple(node for node in made if node is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A named part of the network; stem and head are units too. Equal units do the same thing."""

    name: str = field(compare=False)
    nodes: Sequence

    @property
    def stage(self) -> str:
        """`stage2` for `stage2_unit1`; stem and head are their own stage."""
        return re.sub(r"_unit\d+$", "", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A whole network, or a slice of one: units in order and the shape that goes in."""

    units: tuple[Unit, ...]
    input_shape: Shape

    def __repr__(self) -> str:
        return short_repr(self, f"{len(self.units)} units", f"{self.weighted_layers()} weighted layers",
                          input_shape=tuple(self.input_shape))

    def mapped(self, change: Callable[[Op], Op | None]) -> Plan:
        """The plan with `change` made to each operation, those inside forks too; None leaves it out."""
        return replace(self, units=tuple(replace(unit, nodes=_mapped(unit.nodes, change)) for unit in self.units))

    def unit_shapes(self) -> tuple[Shape, ...]:
        """Shape after each unit."""
        shape, shapes = self.input_shape, []
        for unit in self.units:
            shape = sequence_shape(unit.nodes, shape)
            shapes.append(shape)
        return tuple(shapes)

    @property
    def output_shape(self) -> Shape:
        """Shape of what the last unit gives."""
        return self.unit_shapes()[-1]

    def ops(self) -> Iterator[Op]:
        """All operations, in order, branch after branch."""
        for unit in self.units:
            yield from sequence_ops(unit.nodes)

    def weight_names(self) -> list[str]:
        """Canonical name of every trainable weight, such as `stage2_unit1_conv1/kernel`."""
        return [f"{each.name}/{role}" for each in self.ops() for role in each.learned]

    def weighted_layers(self) -> int:
        """Convolutions and dense layers on the longest way through, as the papers count depth."""
        return sum(weighted_layers(unit.nodes) for unit in self.units)

    def endpoint(self, name: str) -> int:
        """Index of the unit whose output `name` stands for: a unit, or a stage, which is its last unit."""
        for index in reversed(range(len(self.units))):
            if name in (self.units[index].name, self.units[index].stage):
                return index
        raise unknown("endpoint", name, dict.fromkeys(unit.stage for unit in self.units))

    def complexity(self) -> Complexity:
        """Parameters, multiply-adds and activation memory, by unit and in total; see `spec.complexity`."""
        from reskeras.spec.complexity import complexity  # a fold over this class

        return complexity(self)

    def slice(self, after: str | None = None, until: str | None = None) -> Plan:
        """The units after endpoint `after` up to and with endpoint `until`, as a plan of its own."""
        first = 0 if after is None else self.endpoint(after) + 1
        last = len(self.units) - 1 if until is None else self.endpoint(until)
        if first > last:
            raise ReskerasError(f"until: {until!r} does not come after {after!r}")
        shape = self.input_shape if first == 0 else self.unit_shapes()[first - 1]
        return replace(self, units=self.units[first : last + 1], input_shape=shape)


def sequence_shape(nodes: Sequence, shape: Shape) -> Shape:
    """Shape after a sequence of nodes."""
    for node in nodes:
        if isinstance(node, Fork):
            shape = node.merged_shape(tuple(sequence_shape(branch, shape) for branch in node.branches))
        else:
            shape = node.output_shape(shape)
    return shape


def sequence_ops(nodes: Sequence) -> Iterator[Op]:
    """All operations of a sequence, branch after branch."""
    for node in nodes:
        if isinstance(node, Fork):
            for branch in node.branches:
                yield from sequence_ops(branch)
        else:
            yield node


def placed_ops(nodes: Sequence, shape: Shape) -> Iterator[tuple[Op, Shape]]:
    """All operations of a sequence, branch after branch, each with the shape that goes into it."""
    for node in nodes:
        if isinstance(node, Fork):
            for branch in node.branches:
                yield from placed_ops(branch, shape)
        else:
            yield node, shape
        shape = sequence_shape((node,), shape)


def weighted_layers(nodes: Sequence) -> int:
    """Convolutions and dense layers on the longest way through a sequence; the gates of a product are no part of it."""
    return sum(max(map(weighted_layers, node.branches[:1] if node.merge == "multiply" else node.branches))
               if isinstance(node, Fork) else "kernel" in node.learned for node in nodes)
