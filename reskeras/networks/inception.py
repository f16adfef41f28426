"""Inception-v4 and Inception-ResNet (arXiv:1602.07261): their spec, and its lowering by the tables of cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from reskeras.documents.fields import InputShape, Width, whole, whole_shape, within
from reskeras.networks.any_network import AnyNetwork, comma_listed
from reskeras.networks.families import DEFAULTS, FAMILIES, FamilyPreset
from reskeras.networks.inception_cells import KINDS, SCALING, STEMS, WORD, Branch, Branches, Name, StemName
from reskeras.networks.parts import BatchNormSpec, Initialiser
from reskeras.plans import operations as op
from reskeras.plans.merges import ADD, Concat, ScaledAdd
from reskeras.plans.nodes import Fork, Node, Sequence, sequence_shape
from reskeras.plans.operation import Shape
from reskeras.plans.plan import HEAD, STEM, Plan, Unit

INCEPTION = "inception"  # the field that identifies an InceptionSpec
Factor = Annotated[float, within(0, 1, above=True)]
Count = Annotated[int, whole(1, 500)]


def _preset(data: dict[str, Any]) -> FamilyPreset:
    """The preset for classes and input size; the paper's images are larger than v1's."""
    return FAMILIES["cifar"] if data["stem"] == "small" else replace(FAMILIES["imagenet"], input_shape=(299, 299, 3))


def _thrice(value: Any) -> Any:
    return (value,) * 3 if isinstance(value, int | float) and not isinstance(value, bool) else value


class InceptionSpec(AnyNetwork):
    """An Inception-v4 or Inception-ResNet: which cells, how many, how wide. Fields left out are as in the paper.

    Three stages of cells, the second and third begun by a reduction (figures 9 and 15). v4 has no residuals, so its
    `scaling` is None.
    """

    name: (
        Annotated[str, Field(pattern=r"^[\w.-]{1,100}$", description="Name in tables and of the run folder")] | None
    ) = None
    inception: Annotated[Name, Field(description="Kind of cells (figures 4 to 19)")]
    stem: StemName = Field(
        default_factory=lambda data: KINDS[data[INCEPTION]].stem,
        description="v4: figure 3; resnet-v1: figure 14; released: that of the released Inception-ResNet-v2; "
        "small: for 32x32 images",
    )
    cells: tuple[Count, Count, Count] = Field(
        default_factory=lambda data: KINDS[data[INCEPTION]].counts, description="Number of cells A, B and C"
    )
    scaling: Annotated[
        tuple[Factor, Factor, Factor] | None,
        BeforeValidator(_thrice, json_schema_input_type=Factor | tuple[Factor, Factor, Factor] | None),
    ] = Field(
        default_factory=lambda data: SCALING if KINDS[data[INCEPTION]].residual else None,
        description="Residual scaling factors of cells A, B and C, or one for all (section 3.3)",
    )
    last_linear: Annotated[bool, Field(description="The last cell is neither scaled nor activated (released)")] = False
    final_width: Annotated[
        Width | None, Field(description="Width of a 1x1 convolution before pooling (released: 1536)")
    ] = None
    width_factor: Annotated[float, within(0, 64, above=True), Field(description="Multiplies all widths")] = 1.0
    dropout: Annotated[
        float, within(0, 1, below=True), Field(description="Dropout rate of the pooled features (figure 9: 0.2)")
    ] = 0.2
    classes: Annotated[int, whole(1, 1_000_000)] = Field(
        default_factory=lambda data: _preset(data).classes, description="Number of classes; default: those of the data"
    )
    input_shape: InputShape = Field(default_factory=lambda data: _preset(data).input_shape)
    bn: BatchNormSpec = DEFAULTS["bn"]
    initialiser: Annotated[Initialiser, Field(description="Initial kernels")] = DEFAULTS["initialiser"]

    @model_validator(mode="after")
    def _residual_alone(self) -> Self:
        given = "scaling" if self.scaling else "last_linear" if self.last_linear else None
        if given and not KINDS[self.inception].residual:
            raise ValueError(f"{given}: {self.inception} has no residuals; choose inception resnet-v1 or resnet-v2")
        if self.scaling is None and KINDS[self.inception].residual:
            raise ValueError(f"scaling: {self.inception} needs factors for its residuals; use 1.0 for no scaling")
        return self

    @property
    def depth(self) -> int:
        """Weighted layers on the longest path: convolutions and the dense layer."""
        return self.lower().weighted_layers()

    @property
    def fallback_name(self) -> str:
        return f"inception-{self.inception}-variant"

    @property
    def architecture_words(self) -> str:
        parts = {
            f"inception {self.inception}": True,
            f"stem {self.stem}": True,
            f"cells {comma_listed(self.cells)}": True,
            f"residual scaling {comma_listed(self.scaling or ())}": self.scaling,
            "last cell linear": self.last_linear,
            f"final convolution {self.final_width}": self.final_width,
            f"width factor {self.width_factor:g}": self.width_factor != 1,
        }
        return f"depth {self.depth}: {comma_listed(text for text, said in parts.items() if said)}"

    def facts(self) -> dict[str, Any]:
        shortcut, skip = ("identity", f"scale ({comma_listed(self.scaling)})") if self.scaling else ("none", "-")
        return {"layers": self.depth, "block": "inception", "shortcut": shortcut, "skip": skip, "order": "-"}

    def make_plan(self) -> Plan:
        """The network's cells as operations."""
        make = _Maker(self)
        units = [Unit(stage=STEM, nodes=make.sequence(STEM, STEMS[self.stem]))]
        shape = sequence_shape(units[0].nodes, whole_shape(self.input_shape))
        for stage in range(len(self.cells)):
            for unit in make.stage(stage, shape):
                shape = sequence_shape(unit.nodes, shape)
                units.append(unit)
        return Plan(units=(*units, make.head()), input_shape=whole_shape(self.input_shape))


@dataclass(frozen=True)
class _Maker:
    """Builds the units of one network from the tables."""

    spec: InceptionSpec

    def stage(self, stage: int, shape: Shape) -> Iterator[Unit]:
        """The reduction before a stage, where there is one, and its cells; `shape` is the input shape."""
        kind, count, first = KINDS[self.spec.inception], self.spec.cells[stage], 1
        factors = self.spec.scaling or SCALING
        if stage:
            unit, first = Unit(stage=stage + 1, index=1, nodes=()), 2
            unit = replace(unit, nodes=(self.cell(unit.name, kind.reductions[stage - 1]),))
            shape = sequence_shape(unit.nodes, shape)
            yield unit
        for place in range(first, first + count):
            unit = Unit(stage=stage + 1, index=place, nodes=())
            cell: Sequence = (self.cell(unit.name, kind.cells[stage]),)
            if kind.residual:
                linear = self.spec.last_linear and stage == 2 and place == first + count - 1
                cell = self.added(unit.name, cell, shape[-1], 1.0 if linear else factors[stage], linear)
            yield replace(unit, nodes=cell)

    def added(self, name: str, cell: Sequence, width: int, factor: float, linear: bool) -> Sequence:
        """A cell as a residual: a linear 1x1 convolution to the stream's width, scaled, added (figure 20)."""
        widened = op.Conv(
            name=f"{name}_expansion_conv", filters=width, kernel=(1, 1), bias=True, initialiser=self.spec.initialiser
        )
        fork = Fork(
            name=f"{name}_add",
            branches=((), (*cell, widened)),
            merge=ADD if factor == 1 else ScaledAdd(factors=(1.0, factor)),
        )
        return (fork,) if linear else (fork, op.Relu(name=f"{name}_out_relu"))

    def cell(self, name: str, branches: Branches) -> Fork:
        """Branches, concatenated."""
        return Fork(
            name=f"{name}_concat",
            merge=Concat(),
            branches=tuple(
                self.sequence(f"{name}_branch{index}", branch) for index, branch in enumerate(branches, start=1)
            ),
        )

    def sequence(self, name: str, branch: Branch) -> Sequence:
        """A branch's words and forks as nodes."""
        forks = [part for part in branch if not isinstance(part, str)]
        nodes: list[Node] = []
        for part in branch:
            if isinstance(part, str):
                nodes += self.word(name, part, number=1 + sum(isinstance(node, op.Conv) for node in nodes))
            else:
                inside = name if len(forks) == 1 else f"{name}_fork{1 + forks.index(part)}"
                nodes.append(self.cell(inside, part))
        return tuple(nodes)

    def word(self, name: str, text: str, number: int) -> Sequence:
        """A pool, or a convolution with batch norm and ReLU."""
        word = WORD.fullmatch(text)
        if word is None:
            raise ValueError(f"{text!r} is not a valid layer of a cell")
        stride = int(word["stride"] or 1)
        padding: op.WindowPadding = "valid" if word["valid"] else "same"
        if word["pool"]:
            suffix = "" if number == 1 else str(number)
            return (
                op.Pool(
                    name=f"{name}_pool{suffix}",
                    reduce="max" if word["pool"] == "max" else "average",
                    kernel=(3, 3),
                    stride=(stride, stride),
                    padding=padding,
                ),
            )
        kernel = int(word["rows"]), int(word["columns"])
        filters = max(round(int(word["filters"]) * self.spec.width_factor), 1)
        return self.conv(f"{name}_", str(number), filters, kernel, stride, padding)

    def conv(
        self,
        prefix: str,
        number: str,
        filters: int,
        kernel: tuple[int, int] = (1, 1),
        stride: int = 1,
        padding: op.WindowPadding = "same",
    ) -> Sequence:
        """A convolution without bias, batch norm, ReLU."""
        bn = self.spec.bn
        return (
            op.Conv(
                name=f"{prefix}conv{number}",
                filters=filters,
                kernel=kernel,
                stride=(stride, stride),
                padding=padding,
                initialiser=self.spec.initialiser,
            ),
            op.BatchNorm(name=f"{prefix}bn{number}", momentum=bn.momentum, epsilon=bn.epsilon, scale=bn.scale),
            op.Relu(name=f"{prefix}relu{number}"),
        )

    def head(self) -> Unit:
        """The optional last convolution, global average pooling, dropout, logits."""
        spec = self.spec
        nodes: list[Node] = []
        if spec.final_width:
            nodes += self.conv("head_", "", max(round(spec.final_width * spec.width_factor), 1))
        nodes.append(op.GlobalPool(name="head_pool"))
        if spec.dropout:
            nodes.append(op.Dropout(name="head_dropout", rate=spec.dropout))
        nodes.append(op.Dense(name="logits", units=spec.classes, initialiser=spec.initialiser))
        return Unit(stage=HEAD, nodes=tuple(nodes))
