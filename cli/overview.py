"""A readable overview of a network: its description, stages, units and costs, and published figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.catalog import Row, catalog, name_of
from reskeras.networks.network import NetworkSpec
from reskeras.networks.request import network
from reskeras.plans.complexity import Complexity
from reskeras.plans.plan import Plan
from reskeras.plans.stages import Line, cost_data, stage_lines
from reskeras.plans.wording import sequence_words
from reskeras.quantities import short, short_bytes

from .output import echo, facts, heading, sentence, shape_text
from .tables import Column, table


@dataclass(frozen=True)
class Overview:
    """Everything `show` and `build` print of a network before it is built."""

    spec: AnyNetwork
    batch: int = 1

    @cached_property
    def plan(self) -> Plan:
        """The network's plan."""
        return self.spec.lower()

    @cached_property
    def complexity(self) -> Complexity:
        """The costs of the plan."""
        return self.plan.complexity()

    @property
    def name(self) -> str:
        """The network's name."""
        return name_of(self.spec)

    def stages(self) -> list[Line]:
        """One line per stage."""
        return stage_lines(self.plan, self.complexity)

    def units(self) -> list[Line]:
        """One line per unit."""
        pairs = zip(self.plan.units, self.complexity.units, strict=True)
        return [Line(unit.name, cost.output_shape, sequence_words(unit.nodes), cost.cost) for unit, cost in pairs]

    def echo(self, by_unit: bool = False) -> None:
        """Print the overview."""
        heading(self.name)
        sentence(self.spec.describe())
        echo()
        self._table(self.units() if by_unit else self.stages(), "unit" if by_unit else "stage")
        echo()
        facts(self._totals())

    def _table(self, lines: Iterable[Line], what: str) -> None:
        costs = [
            Column("parameters", right=True),
            Column("statistics", right=True, spare=2),
            Column("multiply-adds", right=True),
            Column(f"memory (batch {self.batch})", right=True, spare=1),
        ]
        operations, by_unit = Column("operations"), what == "unit"
        rows = []
        for line in lines:
            figures = [
                short(line.cost.parameters),
                short(line.cost.statistics),
                short(line.cost.multiply_adds),
                short_bytes(line.cost.activation_bytes(self.batch)),
            ]
            # the operations of a unit are a long text, which reads best at the end of a line
            texts = [*figures, line.words] if by_unit else [line.words, *figures]
            rows.append([line.name, shape_text(line.shape), *texts])
        columns = [Column(what), Column("output"), *([*costs, operations] if by_unit else [operations, *costs])]
        table(columns, rows)

    def _totals(self) -> list[tuple[str, str, str]]:
        total, printed = self.complexity.total, published(self.spec)
        figures = {"parameters": "", "multiply-adds": ""}
        if printed:
            figures = {
                "parameters": printed.compare(total.parameters / 1e6, printed.row.millions, "M"),
                "multiply-adds": printed.compare(total.multiply_adds / 1e9, (printed.row.flops or 0) / 1e9, "G"),
            }
        return [
            ("parameters", f"{total.parameters:,}", figures["parameters"]),
            ("statistics", f"{total.statistics:,}", "moving means and variances"),
            ("multiply-adds", short(total.multiply_adds), figures["multiply-adds"]),
            (
                "memory",
                short_bytes(total.activation_bytes(self.batch)),
                f"float32 activations for the backward pass, batch {self.batch}",
            ),
        ]

    def data(self, by_unit: bool = False) -> dict[str, Any]:
        """For JSON."""
        printed = published(self.spec)
        figures = (
            {
                "network": printed.name,
                "source": printed.row.source,
                "parameters_millions": printed.row.millions,
                "multiply_adds": printed.row.flops,
            }
            if printed
            else None
        )
        return {
            "name": self.name,
            "understood": self.spec.describe(),
            "network": self.spec.sparse(),
            "batch": self.batch,
            "published": figures,
            "stages": [line.data(self.batch) for line in self.stages()],
            **({"units": [line.data(self.batch) for line in self.units()]} if by_unit else {}),
            "total": cost_data(self.complexity.total, self.batch),
        }


@dataclass(frozen=True)
class Published:
    """A catalogue row with published figures that this network can be compared with."""

    name: str
    row: Row
    same: bool

    def compare(self, counted: float, printed: float | None, unit: str) -> str:
        """The published figure and the relative difference of the counted one; empty where none was published."""
        if not printed:
            return ""
        whose = "" if self.same else f" for {self.name}"
        return f"published {printed:g} {unit}{whose}, {self.row.source}: {counted / printed - 1:+.1%}"


def published(spec: AnyNetwork) -> Published | None:
    """The figures published for a network, else those for the same network in the original activation order.

    None for a network with other classes or another input shape.
    """
    name = name_of(spec)
    row = catalog().get(name)
    if row is None or row.spec.lower() != spec.lower():
        return None
    if row.flops or row.millions:
        return Published(name, row, same=True)
    if not isinstance(spec, NetworkSpec) or spec.order in (None, "original"):
        return None
    original = network(spec, order="original")
    name = name_of(original)
    row = catalog().get(name)
    return Published(name, row, same=False) if row and (row.flops or row.millions) else None
