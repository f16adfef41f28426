"""NetworkSpec: a residual network as the user specifies it, kept sparse."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field

from reskeras.documents.fields import InputShape, whole, within
from reskeras.networks.any_network import KEPT, AnyNetwork
from reskeras.networks.parts import Activation, BatchNormSpec, HeadSpec, Initialiser, StemSpec
from reskeras.networks.resolve import resolved
from reskeras.networks.resolved import Downsample, Family, FirstShortcut, Padding, Projection, ResolvedNetwork, StrideOn
from reskeras.networks.skips import Skip
from reskeras.networks.stages import Block, OrderName, Shortcut, Stage
from reskeras.plans.plan import Plan


class NetworkSpec(AnyNetwork):
    """A residual network as the user specifies it; what is left out is decided by the rest and the papers.

    Every field is optional, except that depth or stages must be set, and with stages a family or a stem. v1 is
    arXiv:1512.03385, v2 is arXiv:1603.05027.
    """

    name: (
        Annotated[str, Field(pattern=r"^[\w.-]{1,100}$", description="Name in tables and of the run folder")] | None
    ) = None
    family: Annotated[Family | None, Field(description="Preset of stem, widths and input (v1 table 1, 4.2)")] = None
    depth: Annotated[
        Annotated[int, whole(2, 20000)] | None, Field(description="Number of weighted layers; shorthand for stages")
    ] = None
    block: Annotated[Block | None, Field(description="Residual block (v1 figure 5; single: v2 table 3)")] = None
    shortcut: Annotated[
        Shortcut | None, Field(description="Shortcut option (v1 section 3.3); none: a plain network")
    ] = None
    skip: Annotated[Skip | None, Field(description="What the shortcut does (v2 figure 2, table 1)")] = None
    order: Annotated[OrderName | None, Field(description="Activation order (v2 figure 4, table 2)")] = None
    stride_on: Annotated[StrideOn | None, Field(description="Which convolution of a bottleneck is strided")] = None
    downsample: Annotated[Downsample | None, Field(description="Which unit of a stage is strided")] = None
    projection: Annotated[
        Projection | None,
        Field(
            description="How a projection downsamples: by its own stride, or by an average pool before it (ResNet-D, "
            "arXiv:1812.01187)"
        ),
    ] = None
    groups: Annotated[
        Annotated[int, whole(1, 65536)] | None,
        Field(description="Groups of a bottleneck's 3x3 convolution (ResNeXt's cardinality, arXiv:1611.05431)"),
    ] = None
    inner_factor: Annotated[
        Annotated[float, within(0, 64, above=True)] | None,
        Field(
            description="Multiplies widths inside a bottleneck, not its output (wide residual networks, "
            "arXiv:1605.07146)"
        ),
    ] = None
    squeeze: Annotated[
        Annotated[int, whole(1, 65536)] | None,
        Field(description="Reduction ratio of the squeeze-and-excitation of each residual (arXiv:1709.01507)"),
    ] = None
    squeeze_multiple: Annotated[
        Annotated[int, whole(1, 1024)] | None,
        Field(description="Round the reduced channels to a multiple of this number, at least to it (timm: 8)"),
    ] = None
    first_shortcut: Annotated[
        FirstShortcut | None,
        Field(
            description="Input of the first unit's shortcut in a pre-activation network: the activated stream (v2 "
            "appendix) or the raw one, as in all other units (timm's basic units)"
        ),
    ] = None
    stem: StemSpec | None = None
    stages: (
        Annotated[
            tuple[Stage, ...],
            Field(
                min_length=1,
                max_length=16,
                description="The stages one by one, or just their numbers of units; instead of depth",
            ),
        ]
        | None
    ) = None
    head: HeadSpec | None = None
    width_factor: Annotated[
        Annotated[float, within(0, 64, above=True)] | None,
        Field(
            description="Multiplies the family's stage widths (wide residual networks, arXiv:1605.07146), not the "
            "stem's, which is only reduced to that of a narrower first stage with shortcut A"
        ),
    ] = None
    classes: Annotated[
        Annotated[int, whole(1, 1_000_000)] | None,
        Field(description="Number of classes; default: those of the data, else the family's"),
    ] = None
    input_shape: InputShape | None = None
    padding: Annotated[
        Padding | None, Field(description="Padding of strided windows: equal on both sides, or TensorFlow's same")
    ] = None
    conv_bias: Annotated[
        bool | None, Field(description="Whether convolutions have a bias even where batch norm follows; default: no")
    ] = None
    bn: BatchNormSpec | None = None
    activation: Annotated[
        Activation | None,
        Field(description="Nonlinearity of stem, units and head, wherever the activation order has a ReLU"),
    ] = None
    zero_gamma: Annotated[bool | None, Field(description="Start the scale of each residual's last BN at 0")] = None
    initialiser: Annotated[
        Initialiser | None,
        Field(
            description="Initial kernels. dirac: the first filters of convolutions begin as the identity, one for each "
            "channel; everything else with PyTorch's default, fan_in_uniform"
        ),
    ] = None
    drop_path: Annotated[
        Annotated[float, within(0, 1, below=True)] | None, Field(description="Stochastic depth rate of the last unit")
    ] = None

    def decided(self) -> ResolvedNetwork:
        """Every field resolved; ReskerasError (status 2) naming a field that cannot be, and its choices."""
        return _decided(self)

    def make_plan(self) -> Plan:
        return self.decided().make_plan()

    @property
    def architecture_words(self) -> str:
        return self.decided().architecture_words

    def facts(self) -> dict[str, Any]:
        return self.decided().facts()

    @property
    def fallback_name(self) -> str:
        return self.decided().fallback_name


@lru_cache(KEPT)
def _decided(spec: NetworkSpec) -> ResolvedNetwork:
    return resolved(spec)
