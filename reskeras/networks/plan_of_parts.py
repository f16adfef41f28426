"""What the plans of detectors, localisers and refiners have in common: parts by name, of which the first is shared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from reskeras.networks.resize import Canvas
from reskeras.plans.complexity import Complexity
from reskeras.plans.operation import Shape
from reskeras.plans.plan import Plan


class PlanOfParts:
    """Base of plans of several `parts`; `shared` is the part that an image goes through first."""

    if TYPE_CHECKING:
        shared: Plan

        @property
        def parts(self) -> Mapping[str, Plan]: ...

        def complexity(self) -> Complexity: ...

    @property
    def input_shape(self) -> Shape:
        """Height, width and channels of what `shared` takes."""
        return self.shared.input_shape

    @property
    def canvas(self) -> Canvas:
        """Height and width of that, of several canvases the largest."""
        height, width, _ = self.input_shape
        return height, width

    def with_parts(self, parts: Mapping[str, Plan]) -> Self:
        """The same with other `parts`, by the names of these."""
        kept: Any = self  # a dataclass with a field for each part
        return replace(kept, **parts)

    @property
    def everything(self) -> Plan:
        """All units in one plan, to look up weights and units in; its shapes need not chain."""
        units = tuple(unit for plan in self.parts.values() for unit in plan.units)
        return Plan(units=units, input_shape=self.input_shape)
