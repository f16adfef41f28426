"""Stages of a network: sparse as users write them (StageSpec), and fully resolved (StageRow)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from reskeras.documents.fields import Spec, Stride, Width, whole
from reskeras.networks.blocks import BLOCKS
from reskeras.networks.orders import ORDERS
from reskeras.networks.shortcuts import SHORTCUTS
from reskeras.networks.skips import Skip

if TYPE_CHECKING:  # the choices are the tables' keys, which only run time knows
    Block: TypeAlias = str
    Shortcut: TypeAlias = str
    OrderName: TypeAlias = str
else:
    Block = Literal[tuple(BLOCKS)]
    Shortcut = Literal[tuple(SHORTCUTS)]
    OrderName = Literal[tuple(ORDERS)]

MOST_UNITS = 10_000  # of a network, so of a stage


def _units_alone(value: Any) -> Any:
    return {"units": value} if isinstance(value, int) and not isinstance(value, bool) else value


class StageSpec(Spec):
    """One stage: how many units, and whatever differs from the rest of the network in this stage alone.

    `width` is that of the block's first convolution; a bottleneck's output is four times as wide. The network's
    `inner_factor` widens the inside of a bottleneck, not its output.
    """

    units: Annotated[int, whole(1, MOST_UNITS), Field(description="Number of residual units")]
    width: Annotated[
        Width | None, Field(description="Channels of the block's first convolution; default: the family's")
    ] = None
    stride: Annotated[
        Stride | None,
        Field(description="Factor by which the stage downsamples; default: 1 in the first stage, 2 in the others"),
    ] = None
    block: Annotated[Block | None, Field(description="The stage's own block; default: the network's")] = None
    shortcut: Annotated[
        Shortcut | None, Field(description="The stage's own shortcut option; default: the network's")
    ] = None
    skip: Annotated[Skip | None, Field(description="The stage's own skip; default: the network's")] = None
    order: Annotated[
        OrderName | None, Field(description="The stage's own activation order; default: the network's")
    ] = None


Stage = Annotated[StageSpec, BeforeValidator(_units_alone, json_schema_input_type=int | StageSpec)]


class StageRow(Spec):
    """A resolved stage: nothing is left to a default."""

    units: int
    width: int
    stride: int
    block: Block
    shortcut: Shortcut
    skip: Skip
    order: OrderName
