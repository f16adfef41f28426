"""NetworkSpec: what a person says about a residual network, kept as sparse as it was typed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from reskeras.spec.fields import InputShape, Kernel, Spec, Stride, Width, integer, number
from reskeras.spec.skips import Skip

Family = Literal["imagenet", "cifar"]
Block = Literal["basic", "bottleneck", "single"]
Shortcut = Literal["A", "B", "C", "none"]
OrderName = Literal["original", "bn_after_add", "relu_before_add", "relu_preact", "full_preact"]
StrideOn = Literal["first_1x1", "3x3"]
Projection = Literal["strided", "pooled"]
Downsample = Literal["first", "last"]
FirstShortcut = Literal["activated", "raw"]
Padding = Literal["symmetric", "same"]
Initialiser = Literal["he_normal", "he_uniform", "he_normal_fan_out", "glorot_uniform"]


class ConvSpec(Spec):
    """One convolution of the stem: a square kernel, its output channels and stride."""

    kernel: Kernel = 3
    width: Width
    stride: Stride = 1


class PoolSpec(Spec):
    """The stem's max-pool. `border` is what stands around the map where the padding is symmetric: zeros, or what does
    not count (`edge`, as in PyTorch). After a ReLU both are the same."""

    kernel: Kernel = 3
    stride: Stride = 2
    border: Literal["zero", "edge"] = "zero"


class StemSpec(Spec):
    """What stands before the first stage: convolutions, then perhaps a max-pool (v1 table 1).

    `activated` is whether batch norm and ReLU stand between the last convolution and the pool: the papers' do; those of
    keras.applications' and timm's second versions do not.
    """

    convs: Annotated[tuple[ConvSpec, ...], Field(min_length=1, max_length=8)]
    pool: PoolSpec | None = None
    activated: bool = True


class BatchNormSpec(Spec):
    """Batch normalisation everywhere in the network: moving-average momentum, epsilon, learned scale."""

    momentum: number(0, 1, below=True) = 0.9
    epsilon: number(0, 1, above=True) = 1e-5
    scale: bool = True


class HeadSpec(Spec):
    """What stands after the last stage: global pooling, perhaps dropout of the features, one dense layer."""

    pool: Literal["average", "max"] = "average"
    dropout: number(0, 1, below=True) = 0.0


def _units_alone(value: Any) -> Any:
    return {"units": value} if isinstance(value, int) and not isinstance(value, bool) else value


class StageSpec(Spec):
    """One stage: how many units, and whatever differs from the rest of the network in this stage alone.

    `width` is that of the block's first convolution; a bottleneck's output is four times as wide. `inner_factor`
    of the network widens what stands inside a bottleneck, and leaves its output.
    """

    units: integer(1, 2000)
    width: Width | None = None
    stride: Stride | None = None
    block: Block | None = None
    shortcut: Shortcut | None = None
    skip: Skip | None = None
    order: OrderName | None = None


Stage = Annotated[StageSpec, BeforeValidator(_units_alone, json_schema_input_type=int | StageSpec)]


class NetworkSpec(Spec):
    """A residual network as a person would say it; `reskeras.spec.resolve.resolve` fills in the rest.

    Every field may be left out. DESIGN's space: v1 is arXiv:1512.03385, v2 is arXiv:1603.05027.
    """

    name: Annotated[str, Field(pattern=r"^[\w.-]{1,100}$")] | None = None
    family: Annotated[Family | None, Field(description="Preset of stem, widths and input (v1 table 1, 4.2)")] = None
    depth: Annotated[integer(2, 20000) | None, Field(description="Weighted layers; sugar for stages")] = None
    block: Annotated[Block | None, Field(description="v1 figure 5; single is v2 table 3")] = None
    shortcut: Annotated[Shortcut | None, Field(description="v1 section 3.3; none is a plain net")] = None
    skip: Annotated[Skip | None, Field(description="What the shortcut does (v2 figure 2, table 1)")] = None
    order: Annotated[OrderName | None, Field(description="Activation order (v2 figure 4, table 2)")] = None
    stride_on: Annotated[StrideOn | None, Field(description="Where a bottleneck strides")] = None
    downsample: Annotated[Downsample | None, Field(description="Which unit of a stage strides")] = None
    projection: Annotated[Projection | None, Field(
        description="A strided projection's own stride, or an average pool before it (ResNet-D, arXiv:1812.01187)"
    )] = None
    groups: Annotated[integer(1, 65536) | None, Field(
        description="Groups of a bottleneck's 3x3 convolution (ResNeXt's cardinality, arXiv:1611.05431)"
    )] = None
    inner_factor: Annotated[number(0, 64, above=True) | None, Field(
        description="Multiplies widths inside a bottleneck, not its output (wide residual networks, arXiv:1605.07146)"
    )] = None
    squeeze: Annotated[integer(1, 65536) | None, Field(
        description="Squeeze-and-excitation of each residual: channels over this are its middle (arXiv:1709.01507)"
    )] = None
    squeeze_multiple: Annotated[integer(1, 1024) | None, Field(
        description="That middle is the nearest multiple of this, at least one (timm's networks: 8)"
    )] = None
    first_shortcut: Annotated[FirstShortcut | None, Field(
        description="What the first unit's shortcut takes in a pre-activation net: the activated stream (v2 appendix) "
        "or the raw one, as everywhere else (timm's basic units)"
    )] = None
    stem: StemSpec | None = None
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=16)] | None = None
    head: HeadSpec | None = None
    width_factor: Annotated[number(0, 64, above=True) | None, Field(
        description="Multiplies the family's stage widths (wide residual networks, arXiv:1605.07146); the stem keeps "
        "its own, but is never wider than a first stage with shortcut A"
    )] = None
    classes: integer(1, 1_000_000) | None = None
    input_shape: InputShape | None = None
    padding: Annotated[Padding | None, Field(description="Where a strided window starts")] = None
    conv_bias: bool | None = None
    bn: BatchNormSpec | None = None
    zero_gamma: Annotated[bool | None, Field(description="Scale of each residual's last BN starts at 0")] = None
    initialiser: Initialiser | None = None
    drop_path: Annotated[number(0, 1, below=True) | None, Field(description="Rate at the last unit")] = None


class StageRow(Spec):
    """A resolved stage: nothing is left to a default."""

    units: int
    width: int
    stride: int
    block: Block
    shortcut: Shortcut
    skip: Skip
    order: OrderName


class ResolvedNetwork(Spec):
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
    initialiser: Initialiser
    drop_path: float
