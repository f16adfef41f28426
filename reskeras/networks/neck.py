"""FpnSpec: a feature pyramid between a backbone and a detector's heads, as data (arXiv:1612.03144)."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from reskeras.documents.fields import Spec, Width, kind_alone, whole, within
from reskeras.errors import ReskerasError
from reskeras.plans.nodes import sequence_stride
from reskeras.plans.plan import HEAD, Plan

FINEST = 4  # pixels of the canvas per cell; finer maps cost more than they find


def _doubling(strides: tuple[int, ...]) -> tuple[int, ...]:
    for one, next_one in pairwise(strides):
        if next_one != 2 * one:
            raise ValueError(f"each stride should be twice the one before, but {next_one} comes after {one}")
    return strides


class FpnSpec(Spec):
    """Maps of one width at several strides: each is a 1x1 convolution of the backbone's last map at that stride, plus
    the coarser map enlarged by nearest neighbours, then a 3x3 convolution."""

    kind: Literal["fpn"] = "fpn"
    width: Annotated[Width, Field(description="Channels of every map")] = 256
    strides: (
        Annotated[
            tuple[Annotated[int, whole(1, 1024)], ...],
            Field(
                min_length=1,
                max_length=6,
                description="Strides of the maps from which regions are pooled; default: the backbone's of 4 or more",
            ),
            AfterValidator(_doubling),
        ]
        | None
    ) = None
    extra: Annotated[
        int,
        whole(0, 2),
        Field(description="Number of coarser maps, each of every second cell of the one before, for proposals only"),
    ] = 1
    bn: Annotated[bool, Field(description="Batch norm after each convolution instead of a bias")] = False
    canonical: Annotated[
        float,
        within(8, 8192),
        Field(description="Side, in pixels of the canvas, from which regions are pooled from the map of stride 16"),
    ] = 224.0

    def decided_on(self, backbone: Plan) -> FpnSpec:
        """The same with the strides decided. ReskerasError for strides that `backbone` does not have."""
        known = {stride: name for stride, name in endpoints(backbone).items() if stride >= FINEST or self.strides}
        strides = self.strides or _longest_doubling(tuple(known))
        if missing := [stride for stride in strides if stride not in known]:
            raise ReskerasError(
                f"neck.strides: the backbone has no map of stride {missing[0]}, only of {', '.join(map(str, known))}"
            )
        if not strides:
            raise ReskerasError(f"neck: the backbone has no map of stride {FINEST} or more; set neck.strides")
        return self.model_copy(update={"strides": strides})

    def levels(self) -> tuple[int, ...]:
        """The strides of all maps, once they are decided: those that are pooled from, then the extra ones."""
        strides = self.strides or ()
        return (*strides, *(strides[-1] << number for number in range(1, self.extra + 1)))


Neck = Annotated[FpnSpec, BeforeValidator(kind_alone, json_schema_input_type=Literal["fpn"] | FpnSpec)]


def endpoints(backbone: Plan) -> dict[int, str]:
    """The last unit at each stride of a network's maps, stem included, from the finest on."""
    found, stride = dict[int, str](), (1, 1)
    for unit in backbone.units:
        if unit.stage_name == HEAD:
            break
        stride = sequence_stride(unit.nodes, stride)
        found[max(stride)] = unit.name
    return found


def _longest_doubling(strides: tuple[int, ...]) -> tuple[int, ...]:
    """The last of `strides` and those before it as long as each is half of the next."""
    kept: list[int] = []
    for stride in reversed(strides):
        if kept and stride * 2 != kept[-1]:
            break
        kept.append(stride)
    return tuple(reversed(kept))
