"""A plan stage by stage: output shape, operations in words, cost."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from reskeras.plans.complexity import Complexity, Cost
from reskeras.plans.operation import Shape
from reskeras.plans.plan import Plan
from reskeras.plans.wording import stage_words


@dataclass(frozen=True)
class Line:
    """A stage or a unit: its name, output shape, operations in words, and cost."""

    name: str
    shape: Shape
    words: str
    cost: Cost

    def data(self, batch: int) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "output_shape": list(self.shape),
            "operations": self.words,
            **cost_data(self.cost, batch),
        }


def stage_lines(plan: Plan, complexity: Complexity) -> list[Line]:
    """One line for each stage of a plan."""
    lines = []
    for stage, run in groupby(zip(plan.units, complexity.units, strict=True), lambda pair: pair[0].stage_name):
        units, costs = zip(*run, strict=True)
        total = sum((unit.cost for unit in costs), Cost())
        lines.append(Line(stage, costs[-1].output_shape, stage_words(units), total))
    return lines


def cost_data(cost: Cost, batch: int) -> dict[str, int]:
    """A cost for JSON."""
    return {
        "parameters": cost.parameters,
        "statistics": cost.statistics,
        "multiply_adds": cost.multiply_adds,
        "activation_bytes": cost.activation_bytes(batch),
    }
