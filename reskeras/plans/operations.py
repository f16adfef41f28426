"""The operations of a plan: fields, shapes, weights, cost and drawing of each kind.

Shapes are (height, width, channels), or (channels,) after global pooling; the batch axis is left out. Operations that
compute the same compare equal whatever their names, so that equal units can be found. A new kind needs a class here and
its tensor function in `reskeras.graph.functions`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

from reskeras.errors import ReskerasError
from reskeras.plans.operation import Op, Shape, Weight, by, by_kind, listed, stride_words
from reskeras.plans.windows import Window, WindowPadding, windows, windows_seen

Border = Literal["zero", "edge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv(Op):
    """2-D convolution; with `valid` a Pad before it does the padding, `same` pads as TensorFlow does. Kernels may be
    rounded to integers of `weight_bits`, by output channel and symmetric."""

    kind: ClassVar[str] = "conv"
    keeps: ClassVar[tuple[str, ...]] = ("input",)
    later: ClassVar[tuple[str, ...]] = ("weight_bits",)
    weighted: ClassVar[bool] = True
    drawn: ClassVar[Literal["box"]] = "box"
    filters: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: WindowPadding = "same"
    groups: int = 1
    bias: bool = False
    bias_start: float = 0.0
    initialiser: str = "he_normal"
    weight_bits: int | None = None

    @property
    def words(self) -> str:
        bias = f"bias {self.bias_start:g}" if self.bias_start else "bias" if self.bias else ""
        bits = f"{self.weight_bits}-bit weights" if self.weight_bits else ""
        name = f"{by(self.kernel)} conv"
        return listed(name, str(self.filters), stride_words(self.stride), self.groups_words, bias, bits)

    @property
    def subsamples(self) -> bool:
        """Whether it looks at some of the positions alone."""
        return self.kernel == (1, 1) and max(self.stride) > 1

    @property
    def core_words(self) -> str:
        """Kernel and filters only, as in v1 table 1."""
        return f"{by(self.kernel)}, {self.filters}"

    @property
    def groups_words(self) -> str:
        """`32 groups`; empty for one group."""
        return f"{self.groups} groups" if self.groups > 1 else ""

    def weights(self, shape: Shape) -> dict[str, Weight]:
        kernel = Weight((*self.kernel, shape[-1] // self.groups, self.filters), self.initialiser)
        return {"kernel": kernel, "bias": Weight((self.filters,), self.bias_start)} if self.bias else {"kernel": kernel}

    def output_shape(self, shape: Shape) -> Shape:
        return (*windows(self.name, shape, self.kernel, self.stride, self.padding), self.filters)

    def sees(self, shape: Shape) -> tuple[Window, Window]:
        return windows_seen(shape, self.kernel, self.stride, self.padding)

    def multiply_adds(self, shape: Shape, output: Shape) -> int:
        kernel = prod(self.kernel) * (shape[-1] // self.groups) * self.filters
        return kernel * prod(output[:-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNorm(Op):
    """Batch normalisation over the channels; `gamma_start` is the initial scale."""

    kind: ClassVar[str] = "bn"
    keeps: ClassVar[tuple[str, ...]] = ("input",)
    fill: ClassVar[str] = "#e3e3e3"
    momentum: float
    epsilon: float
    scale: bool = True
    gamma_start: float = 1.0

    def weights(self, shape: Shape) -> dict[str, Weight]:
        channels = shape[-1:]
        gamma = {"gamma": Weight(channels, self.gamma_start)} if self.scale else {}
        return {
            **gamma,
            "beta": Weight(channels),
            "moving_mean": Weight(channels, 0.0, "statistic"),
            "moving_variance": Weight(channels, 1.0, "statistic"),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Relu(Op):
    """max(x, 0)."""

    kind: ClassVar[str] = "relu"
    keeps: ClassVar[tuple[str, ...]] = ("output",)
    fill: ClassVar[str] = "#ffd9a8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gelu(Op):
    """x times the standard normal distribution function of x (arXiv:1606.08415), exact."""

    kind: ClassVar[str] = "gelu"
    keeps: ClassVar[tuple[str, ...]] = ("input",)
    fill: ClassVar[str] = "#ffe3b8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Silu(Op):
    """x / (1 + exp(-x)), also called swish (arXiv:1710.05941)."""

    kind: ClassVar[str] = "silu"
    keeps: ClassVar[tuple[str, ...]] = ("input",)
    fill: ClassVar[str] = "#ffcf9c"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sigmoid(Op):
    """1 / (1 + exp(-x))."""

    kind: ClassVar[str] = "sigmoid"
    keeps: ClassVar[tuple[str, ...]] = ("output",)
    fill: ClassVar[str] = "#f7c6dd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool(Op):
    """Max or average pooling. A 1x1 window with a stride subsamples."""

    kind: ClassVar[str] = "pool"
    reduce: Literal["max", "average"]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: WindowPadding = "valid"

    @property
    def words(self) -> str:
        what = "subsample" if self.subsamples else f"{by(self.kernel)} {self.reduce} pool"
        return listed(what, stride_words(self.stride))

    @property
    def subsamples(self) -> bool:
        """Whether it only subsamples."""
        return self.kernel == (1, 1)

    @property
    def drawn(self) -> Literal["box", "strip"]:
        """A box, or a strip where it only subsamples."""
        return "strip" if self.subsamples else "box"

    @property
    def keeps(self) -> tuple[str, ...]:
        """The gradient of max pooling needs the argmax, that of average pooling nothing."""
        return ("input", "output") if self.reduce == "max" else ()

    def output_shape(self, shape: Shape) -> Shape:
        return (*windows(self.name, shape, self.kernel, self.stride, self.padding), shape[-1])

    def sees(self, shape: Shape) -> tuple[Window, Window]:
        return windows_seen(shape, self.kernel, self.stride, self.padding)


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalPool(Op):
    """Global max or average pooling; `keep_positions` keeps height and width as 1x1, for a broadcasting merge."""

    kind: ClassVar[str] = "global_pool"
    drawn: ClassVar[Literal["box"]] = "box"
    reduce: Literal["max", "average"] = "average"
    keep_positions: bool = False

    @property
    def words(self) -> str:
        return f"global {self.reduce} pool"

    @property
    def keeps(self) -> tuple[str, ...]:
        """As for Pool."""
        return ("input", "output") if self.reduce == "max" else ()

    def output_shape(self, shape: Shape) -> Shape:
        return (1, 1, shape[-1]) if self.keep_positions else (shape[-1],)

    def sees(self, shape: Shape) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatten(Op):
    """Positions and channels flattened to one axis."""

    kind: ClassVar[str] = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        return (prod(shape),)

    def sees(self, shape: Shape) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense(Op):
    """Fully connected layer on the last axis; in float32, as logits are, whatever the network computes in, or not."""

    kind: ClassVar[str] = "dense"
    keeps: ClassVar[tuple[str, ...]] = ("input",)
    later: ClassVar[tuple[str, ...]] = ("float32", "bias_start")
    weighted: ClassVar[bool] = True
    drawn: ClassVar[Literal["box"]] = "box"
    units: int
    bias: bool = True
    bias_start: float = 0.0
    initialiser: str = "he_normal"
    float32: bool = True

    @property
    def words(self) -> str:
        return f"dense, {self.units}"

    def weights(self, shape: Shape) -> dict[str, Weight]:
        kernel = Weight((shape[-1], self.units), self.initialiser)
        return {"kernel": kernel, "bias": Weight((self.units,), self.bias_start)} if self.bias else {"kernel": kernel}

    def output_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], self.units)

    def multiply_adds(self, shape: Shape, output: Shape) -> int:
        return prod(shape) * self.units


@dataclass(frozen=True, slots=True, kw_only=True)
class Pad(Op):
    """Padding by rows above and below, columns left and right: zeros, or with border `edge` the mirror image. A
    max-pool has the mirrored pixels in its window anyway, so that there `edge` is padding that does not count."""

    kind: ClassVar[str] = "pad"
    drawn: ClassVar[Literal["hidden"]] = "hidden"
    rows: tuple[int, int]
    columns: tuple[int, int]
    border: Border = "zero"

    @property
    def words(self) -> str:
        columns = "" if self.rows == self.columns else f" by {self.columns[0]}-{self.columns[1]}"
        return listed("pad", f"{self.rows[0]}-{self.rows[1]}{columns}", "" if self.border == "zero" else self.border)

    def output_shape(self, shape: Shape) -> Shape:
        height, width, channels = shape
        return (height + sum(self.rows), width + sum(self.columns), channels)

    def sees(self, shape: Shape) -> tuple[Window, Window]:
        return Window(self.rows[0]), Window(self.columns[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class PadChannels(Op):
    """Zero-pads the channel axis to `channels` (v1 section 3.3, option A)."""

    kind: ClassVar[str] = "pad_channels"
    channels: int

    @property
    def words(self) -> str:
        return f"zero channels, to {self.channels}"

    def output_shape(self, shape: Shape) -> Shape:
        if self.channels < shape[-1]:
            raise ReskerasError(f"{self.name}: {shape[-1]} channels cannot be padded to {self.channels}")
        return (*shape[:-1], self.channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale(Op):
    """Multiplication by a constant, with `float32` in float32 whatever the network computes in, as logits are."""

    kind: ClassVar[str] = "scale"
    later: ClassVar[tuple[str, ...]] = ("float32",)
    fill: ClassVar[str] = "#cfe8cf"
    factor: float
    float32: bool = False

    @property
    def words(self) -> str:
        return f"times {self.factor:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout(Op):
    """Inverted dropout at `rate`, of elements or with `per_image` of whole images (stochastic depth)."""

    kind: ClassVar[str] = "dropout"
    keeps: ClassVar[tuple[str, ...]] = ("output",)  # stands for the mask
    fill: ClassVar[str] = "#d9c8ee"
    rate: float
    per_image: bool = False

    @property
    def words(self) -> str:
        return f"{'drop path' if self.per_image else 'dropout'}, {self.rate:.3g}"

    def weights(self, shape: Shape) -> dict[str, Weight]:
        return {"draws": Weight(role="counter")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantise(Op):
    """Rounding to the 256 values of an 8-bit integer in a range that holds zero: its own, which is a statistic of what
    comes in, that of the Quantise called `like`, or `fixed`."""

    kind: ClassVar[str] = "quantise"
    fill: ClassVar[str] = "#c8e3f0"
    like: str = ""
    fixed: tuple[float, float] | None = None

    @property
    def words(self) -> str:
        return listed("8 bits", f"range of {self.like}" if self.like else "", "fixed range" if self.fixed else "")

    def weights(self, shape: Shape) -> dict[str, Weight]:
        if self.like or self.fixed:
            return {}
        return {"low": Weight((), 0.0, "statistic"), "high": Weight((), 0.0, "statistic")}


# those of this file: other rooms have kinds of their own, that no spec produces
OPERATIONS: dict[str, type[Op]] = by_kind(kind for kind in Op.__subclasses__() if kind.__module__ == __name__)
ACTIVATIONS: dict[str, type[Op]] = {kind.kind: kind for kind in (Relu, Gelu, Silu)}  # the nonlinearity of units
