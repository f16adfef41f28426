"""Plan: a network as an ordered list of units, which everything downstream of the spec works on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from reskeras.errors import ReskerasError, unknown
from reskeras.plans.complexity import Complexity, complexity
from reskeras.plans.nodes import (
    Sequence,
    mapped,
    placed_ops,
    sequence_ops,
    sequence_shape,
    sequence_stride,
    weighted_layers,
)
from reskeras.plans.operation import Op, Shape
from reskeras.printable import short_repr

STEM, HEAD = "stem", "head"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Unit `index` of stage number `stage`, both from 1, or a named part such as the stem, which has no index. Units
    that compute the same compare equal."""

    stage: int | str = field(compare=False)
    index: int | None = field(compare=False, default=None)
    nodes: Sequence

    @property
    def name(self) -> str:
        """`stage2_unit1`, or the part's own name."""
        return self.stage_name if self.index is None else f"{self.stage_name}_unit{self.index}"

    @property
    def stage_name(self) -> str:
        """`stage2`; stem and head are their own stage."""
        return f"stage{self.stage}" if isinstance(self.stage, int) else self.stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A whole network, or a slice of one: units in order, and the input shape."""

    units: tuple[Unit, ...]
    input_shape: Shape

    def __repr__(self) -> str:
        return short_repr(
            self,
            f"{len(self.units)} units",
            f"{self.weighted_layers()} weighted layers",
            input_shape=tuple(self.input_shape),
        )

    def rewritten(self, change: Callable[[Sequence], Sequence]) -> Plan:
        """The plan with `change` applied to the nodes of each unit."""
        return replace(self, units=tuple(replace(unit, nodes=change(unit.nodes)) for unit in self.units))

    def mapped(self, change: Callable[[Op], Op | None]) -> Plan:
        """The plan with `change` applied to each operation, also inside forks; None drops it."""
        return self.rewritten(lambda nodes: mapped(nodes, change))

    def unit_shapes(self) -> tuple[Shape, ...]:
        """Shape after each unit."""
        shape, shapes = self.input_shape, []
        for unit in self.units:
            shape = sequence_shape(unit.nodes, shape)
            shapes.append(shape)
        return tuple(shapes)

    @property
    def stride(self) -> tuple[int, int]:
        """Pixels of the input, down and across, between positions of the last feature map."""
        stride = (1, 1)
        for unit in self.units:
            stride = sequence_stride(unit.nodes, stride)
        return stride

    def weight_shapes(self) -> dict[str, Shape]:
        """The shape of every weight by its canonical name; ReskerasError where the input is too small."""
        found, shape = {}, self.input_shape
        for unit in self.units:
            for node, before in placed_ops(unit.nodes, shape):
                found.update({f"{node.name}/{name}": weight.shape for name, weight in node.weights(before).items()})
            shape = sequence_shape(unit.nodes, shape)
        return found

    @property
    def output_shape(self) -> Shape:
        """Output shape of the last unit."""
        return self.unit_shapes()[-1]

    def ops(self) -> Iterator[Op]:
        """All operations, in order, branch after branch."""
        for unit in self.units:
            yield from sequence_ops(unit.nodes)

    def weight_names(self) -> list[str]:
        """Canonical name of every trainable weight, such as `stage2_unit1_conv1/kernel`."""
        return [f"{node.name}/{weight}" for node in self.ops() for weight in node.learned]

    def weighted_layers(self) -> int:
        """Convolutions and dense layers on the longest path, as the papers count depth."""
        return sum(weighted_layers(unit.nodes) for unit in self.units)

    def endpoint(self, name: str, field: str = "endpoint") -> int:
        """Index of the unit called `name`, or of the last unit of the stage called so. ReskerasError, of `field`, where
        there is none."""
        for index in reversed(range(len(self.units))):
            if name in (self.units[index].name, self.units[index].stage_name):
                return index
        raise unknown(field, name, dict.fromkeys(unit.stage_name for unit in self.units))

    def complexity(self) -> Complexity:
        """Parameters, multiply-adds and activation memory, by unit and in total."""
        return complexity(self.units, self.input_shape)

    def slice(self, after: str | None = None, until: str | None = None) -> Plan:
        """The units after endpoint `after` up to and including endpoint `until`, as a plan."""
        first = 0 if after is None else self.endpoint(after) + 1
        last = len(self.units) - 1 if until is None else self.endpoint(until)
        if first > last:
            raise ReskerasError(f"until: {until!r} does not come after {after!r}")
        shape = self.input_shape if first == 0 else self.unit_shapes()[first - 1]
        return replace(self, units=self.units[first : last + 1], input_shape=shape)
