"""Complexity as a fold over a Plan: parameters, moving statistics, multiply-adds, activation memory."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from reskeras.spec.operations import Op, Shape
from reskeras.spec.plan import Fork, Plan, Sequence

BYTES = {"float32": 4, "mixed_bfloat16": 2, "mixed_float16": 2}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a unit or a whole network costs.

    parameters: trainable numbers. statistics: moving means and variances. multiply_adds: for one image,
    convolutions and dense layers only, as v1 table 1 counts. activations: numbers that one image leaves
    behind for the backward pass.
    """

    parameters: int = 0
    statistics: int = 0
    multiply_adds: int = 0
    activations: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.statistics + other.statistics,
                    self.multiply_adds + other.multiply_adds, self.activations + other.activations)

    def activation_bytes(self, batch: int, precision: str = "float32") -> int:
        """Bytes kept from the forward to the backward pass of one training step on `batch` images."""
        return self.activations * batch * BYTES[precision]


@dataclass(frozen=True, slots=True)
class UnitCost:
    """The cost of one unit, beside its name and the shape it gives."""

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


def complexity(plan: Plan) -> Complexity:
    """Fold `plan` into its costs; nothing is built and nothing but arithmetic is done."""
    tensors = _Tensors()
    tensor, units = tensors.new(plan.input_shape), []
    for unit in plan.units:
        tensors.begin(unit.name)
        tensor = _sequence(unit.nodes, tensor, tensors)
        units.append((unit.name, tensors.shapes[tensor], tensors.counts))
    kept = tensors.kept_by_maker()
    first = plan.units[0].name
    kept[first] = kept.get(first, 0) + kept.pop("", 0)  # the input image is counted with the first unit
    costs = tuple(UnitCost(name, shape, Cost(*counts, kept.get(name, 0))) for name, shape, counts in units)
    return Complexity(units=costs, total=sum((unit.cost for unit in costs), Cost()))


class _Tensors:
    """Every tensor of the network by number, with the unit that made it and whether gradients need it.

    `counts` are parameters, statistics and multiply-adds of the unit so far; sums of plain numbers, because a search
    counts ten thousand networks.
    """

    def __init__(self) -> None:
        self.shapes: list[Shape] = []
        self.makers: list[str] = []
        self.kept: set[int] = set()
        self.maker = ""
        self.counts = [0, 0, 0]

    def begin(self, unit: str) -> None:
        self.maker, self.counts = unit, [0, 0, 0]

    def new(self, shape: Shape) -> int:
        self.shapes.append(shape)
        self.makers.append(self.maker)
        return len(self.shapes) - 1

    def kept_by_maker(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for tensor in self.kept:
            counts[self.makers[tensor]] = counts.get(self.makers[tensor], 0) + prod(self.shapes[tensor])
        return counts


def _sequence(nodes: Sequence, tensor: int, tensors: _Tensors) -> int:
    for node in nodes:
        tensor = (_fork if isinstance(node, Fork) else _op)(node, tensor, tensors)
    return tensor


def _op(op: Op, tensor: int, tensors: _Tensors) -> int:
    shape, counts = tensors.shapes[tensor], tensors.counts
    output = tensors.new(op.output_shape(shape))
    for which in op.keeps:
        tensors.kept.add({"input": tensor, "output": output}[which])
    counts[0] += op.parameters(shape)
    counts[1] += op.statistics(shape)
    counts[2] += op.multiply_adds(shape)
    return output


def _fork(fork: Fork, tensor: int, tensors: _Tensors) -> int:
    ends = [_sequence(branch, tensor, tensors) for branch in fork.branches]
    if fork.merge in ("multiply", "gated_add"):  # a product's gradient needs its factors
        tensors.kept.update(ends)
    return tensors.new(fork.merged_shape(tuple(tensors.shapes[end] for end in ends)))
