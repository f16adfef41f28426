"""VGG-19 (arXiv:1409.1556, configuration E): the baseline of v1 table 1 and figure 3."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from reskeras.documents.fields import InputShape, Width, whole, whole_shape
from reskeras.networks.any_network import AnyNetwork, comma_listed
from reskeras.plans import operations as op
from reskeras.plans.plan import HEAD, Plan, Unit


class VggSpec(AnyNetwork):
    """Stages of plain 3x3 convolutions, each stage ended by a max-pool, then dense layers; no batch norm."""

    name: Literal["vgg-19"] = "vgg-19"
    units: Annotated[tuple[Annotated[int, whole(1, 100)], ...], Field(min_length=1, max_length=16)] = (2, 2, 4, 4, 4)
    widths: tuple[Width, ...] = (64, 128, 256, 512, 512)
    dense: Annotated[tuple[Width, ...], Field(max_length=16)] = (4096, 4096)
    classes: Annotated[int, whole(1, 1_000_000)] = 1000
    input_shape: InputShape = (224, 224, 3)

    @model_validator(mode="after")
    def _one_width_a_stage(self) -> Self:
        if len(self.units) != len(self.widths):
            raise ValueError(
                f"widths: {len(self.widths)} widths do not match units of {len(self.units)} stages; "
                "give one of each per stage"
            )
        return self

    @property
    def depth(self) -> int:
        """Weighted layers: convolutions and dense layers, with the logits."""
        return sum(self.units) + len(self.dense) + 1

    @property
    def fallback_name(self) -> str:
        return f"vgg-{self.depth}"

    @property
    def architecture_words(self) -> str:
        return (
            f"depth {self.depth}: vgg, plain 3x3 convolutions {comma_listed(self.units)}, "
            f"dense {comma_listed(self.dense)}"
        )

    def facts(self) -> dict[str, Any]:
        return {"layers": self.depth, "block": "-", "shortcut": "none", "skip": "-", "order": "-"}

    def make_plan(self) -> Plan:
        """The network's units as operations."""
        units = []
        for stage, (count, width) in enumerate(zip(self.units, self.widths, strict=True), start=1):
            for index in range(1, count + 1):
                unit = Unit(stage=stage, index=index, nodes=())
                nodes: list[op.Op] = [
                    op.Conv(name=f"{unit.name}_conv1", filters=width, kernel=(3, 3), bias=True),
                    op.Relu(name=f"{unit.name}_relu1"),
                ]
                if index == count:
                    nodes.append(op.Pool(name=f"stage{stage}_pool", reduce="max", kernel=(2, 2), stride=(2, 2)))
                units.append(replace(unit, nodes=tuple(nodes)))
        head: list[op.Op] = [op.Flatten(name="head_flatten")]
        for index, width in enumerate(self.dense, start=1):
            head += [
                op.Dense(name=f"head_dense{index}", units=width),
                op.Relu(name=f"head_relu{index}"),
                op.Dropout(name=f"head_dropout{index}", rate=0.5),
            ]
        head.append(op.Dense(name="logits", units=self.classes))
        return Plan(units=(*units, Unit(stage=HEAD, nodes=tuple(head))), input_shape=whole_shape(self.input_shape))
