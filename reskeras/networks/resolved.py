"""ResolvedNetwork: a residual or plain network in which every field is decided."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from reskeras.documents.fields import InputShape
from reskeras.networks.any_network import AnyNetwork, agreed, comma_listed
from reskeras.networks.blocks import BLOCKS
from reskeras.networks.families import DEFAULTS, FAMILIES
from reskeras.networks.lower import lowered
from reskeras.networks.parts import Activation, BatchNormSpec, HeadSpec, Initialiser, StemSpec
from reskeras.networks.shortcuts import SHORTCUTS
from reskeras.networks.stages import StageRow
from reskeras.plans.plan import Plan

if TYPE_CHECKING:  # the choices are the table's keys, which only run time knows
    Family: TypeAlias = str
else:
    Family = Literal[tuple(FAMILIES)]
StrideOn = Literal["first_1x1", "3x3"]
Projection = Literal["strided", "pooled"]
Downsample = Literal["first", "last"]
FirstShortcut = Literal["activated", "raw"]
Padding = Literal["symmetric", "same"]


class ResolvedNetwork(AnyNetwork):
    """A NetworkSpec in which every field is decided. Read as a NetworkSpec it resolves to itself.

    `depth` is computed back from stem, stages and head: convolutions on the main path plus the dense layer.
    """

    name: str | None
    family: Family | None
    depth: int
    stride_on: StrideOn | None
    downsample: Downsample
    projection: Projection
    groups: int
    inner_factor: float
    squeeze: int | None
    squeeze_multiple: int
    first_shortcut: FirstShortcut
    stem: StemSpec
    stages: tuple[StageRow, ...]
    head: HeadSpec
    classes: int
    input_shape: InputShape
    padding: Padding
    conv_bias: bool
    bn: BatchNormSpec
    zero_gamma: bool
    activation: Activation = DEFAULTS["activation"]
    initialiser: Initialiser
    drop_path: float

    def make_plan(self) -> Plan:
        """The network's units as operations."""
        return lowered(self)

    @property
    def layers(self) -> int:
        """Weighted layers on the main path: stem convolutions, those of the units, and the dense layer."""
        units = sum(row.units * len(BLOCKS[row.block].kernels) for row in self.stages)
        return len(self.stem.convs) + units + 1

    @property
    def total_stride(self) -> int:
        """Downsampling factor from the input to the last stage, along one side."""
        pool = self.stem.pool.stride if self.stem.pool else 1
        return pool * prod(conv.stride for conv in self.stem.convs) * prod(row.stride for row in self.stages)

    def unit_stride(self, stage: int, unit: int) -> int:
        """Stride of one unit (stage and unit count from 0): a stage's stride is applied in its first unit, or with
        `downsample: last` in the last unit of the preceding stage (the first stage keeps its own)."""
        rows = self.stages
        if self.downsample == "first":
            return rows[stage].stride if unit == 0 else 1
        own = rows[0].stride if stage == unit == 0 else 1
        ends = unit == rows[stage].units - 1 and stage + 1 < len(rows)
        return own * (rows[stage + 1].stride if ends else 1)

    @property
    def residual_rows(self) -> list[StageRow]:
        """The stages whose units have shortcuts."""
        return [row for row in self.stages if SHORTCUTS[row.shortcut].residual]

    @property
    def fallback_name(self) -> str:
        return f"{self.family or 'custom'}-variant-{self.depth}"

    @property
    def architecture_words(self) -> str:
        rows = self.stages
        parts = [
            self.family or "no family",
            f"{agreed([row.block for row in rows])} units " + comma_listed(row.units for row in rows),
        ]
        parts.append(f"shortcut {agreed([row.shortcut for row in rows])}" if self.residual_rows else "no shortcuts")
        if any(row.skip.kind != "identity" for row in rows):
            parts.append(f"skip {agreed([row.skip.text for row in rows])}")
        inside = {
            f"groups {self.groups}": self.groups > 1,
            f"inner factor {self.inner_factor:g}": self.inner_factor != 1,
            f"squeeze {self.squeeze}": self.squeeze,
            f"squeeze multiple {self.squeeze_multiple}": self.squeeze_multiple > 1,
            "raw first shortcut": self.first_shortcut == "raw",
            "pooled projections": self.projection == "pooled",
            self.activation: self.activation != DEFAULTS["activation"],
        }
        parts += [f"order {agreed([row.order for row in rows])}", *(text for text, said in inside.items() if said)]
        return f"depth {self.depth}: {', '.join(parts)}"

    def facts(self) -> dict[str, Any]:
        first = self.stages[0]  # all stages of a named network agree in these
        return {
            "layers": self.depth,
            "block": first.block,
            "shortcut": first.shortcut,
            "skip": first.skip.text,
            "order": first.order,
        }
