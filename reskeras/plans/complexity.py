"""Complexity as a fold over units: parameters, moving statistics, multiply-adds, activation memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Protocol

from reskeras.plans.nodes import Fork, Sequence, fold
from reskeras.plans.operation import Op, Shape

BYTES = {"float32": 4, "mixed_bfloat16": 2, "mixed_float16": 2}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a unit or a whole network costs.

    parameters: trainable numbers. statistics: moving means and variances. multiply_adds: for one image,
    convolutions and dense layers only, as v1 table 1 counts. activations: numbers kept of one
    image for the backward pass.
    """

    parameters: int = 0
    statistics: int = 0
    multiply_adds: int = 0
    activations: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.parameters + other.parameters,
            self.statistics + other.statistics,
            self.multiply_adds + other.multiply_adds,
            self.activations + other.activations,
        )

    def activation_bytes(self, batch: int, precision: str = "float32") -> int:
        """Bytes kept from the forward to the backward pass of one training step on `batch` images."""
        return self.activations * batch * BYTES[precision]


@dataclass(frozen=True, slots=True)
class UnitCost:
    """The cost of one unit, with its name and output shape."""

    name: str
    output_shape: Shape
    cost: Cost


@dataclass(frozen=True, slots=True)
class Complexity:
    """Costs unit by unit, and their sum."""

    units: tuple[UnitCost, ...]
    total: Cost

    @property
    def parameters(self) -> int:
        """Trainable parameters of the whole network."""
        return self.total.parameters

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the whole network for one image."""
        return self.total.multiply_adds


class Named(Protocol):
    """A unit: a sequence of nodes with a name."""

    @property
    def name(self) -> str: ...

    @property
    def nodes(self) -> Sequence: ...


def complexity(units: Iterable[Named], input_shape: Shape) -> Complexity:
    """The costs of `units` for an input of `input_shape`, by arithmetic alone: nothing is built."""
    tensors = _Tensors()
    tensor, counted = tensors.new(input_shape), []
    for unit in units:
        tensors.begin(unit.name)
        tensor = fold(unit.nodes, tensor, tensors.through, tensors.join)
        counted.append((unit.name, tensors.shapes[tensor], tensors.counts))
    kept = tensors.kept_by_maker()
    first = counted[0][0]
    kept[first] = kept.get(first, 0) + kept.pop("", 0)  # the input image is counted with the first unit
    costs = tuple(
        UnitCost(name, shape, Cost(counts["trained"], counts["statistic"], counts["multiply_adds"], kept.get(name, 0)))
        for name, shape, counts in counted
    )
    return Complexity(units=costs, total=sum((unit.cost for unit in costs), Cost()))


class _Tensors:
    """Every tensor of the network by number, with the unit that made it and whether gradients need it.

    `counts` has the sizes of the current unit's weights, by role, and its multiply-adds; plain integers, because a
    search counts ten thousand networks.
    """

    def __init__(self) -> None:
        self.shapes: list[Shape] = []
        self.makers: list[str] = []
        self.kept: set[int] = set()
        self.begin("")

    def begin(self, unit: str) -> None:
        self.maker, self.counts = unit, {"trained": 0, "statistic": 0, "counter": 0, "multiply_adds": 0}

    def new(self, shape: Shape) -> int:
        self.shapes.append(shape)
        self.makers.append(self.maker)
        return len(self.shapes) - 1

    def through(self, op: Op, tensor: int) -> int:
        shape = self.shapes[tensor]
        made = op.output_shape(shape)
        output = self.new(made)
        for which in op.keeps:
            self.kept.add(tensor if which == "input" else output)
        counts = self.counts
        for size, _, role in op.weights(shape).values():
            counts[role] += prod(size)
        counts["multiply_adds"] += op.multiply_adds(shape, made)
        return output

    def join(self, fork: Fork, ends: list[int]) -> int:
        if fork.merge.needs_branches:
            self.kept.update(ends)
        return self.new(fork.merged_shape([self.shapes[end] for end in ends]))

    def kept_by_maker(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for tensor in self.kept:
            counts[self.makers[tensor]] = counts.get(self.makers[tensor], 0) + prod(self.shapes[tensor])
        return counts
