"""The stages of a network as a table of a page or a card."""

from __future__ import annotations

from collections.abc import Mapping

from reskeras.plans.plan import Plan
from reskeras.plans.stages import stage_lines
from reskeras.report.sections import Table


def stage_table(parts: Mapping[str, Plan], of: str = "") -> Table:
    """A row for each stage of each of `parts`, by name; the name of an only part does not matter."""
    several, rows, parameters, multiply_adds = len(parts) > 1, [], 0, 0
    for name, plan in parts.items():
        total = plan.complexity()
        parameters, multiply_adds = parameters + total.parameters, multiply_adds + total.multiply_adds
        for line in stage_lines(plan, total):
            shape, cost = "x".join(map(str, line.shape)), line.cost
            figures = f"{cost.parameters:,}", f"{cost.multiply_adds:,}"
            rows.append([*([name] if several else []), line.name, shape, line.words, *figures])
    columns = [*(["part"] if several else []), "stage", "output", "operations", "parameters", "multiply-adds"]
    caption = f"{parameters:,} parameters, {multiply_adds:,} multiply-adds"
    return Table(
        f"Stages{of}",
        columns,
        rows,
        f"{caption} when each part is computed once." if several else f"{caption} per image.",
    )
