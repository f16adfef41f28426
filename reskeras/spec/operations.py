"""The operations a plan is made of: each knows its output shape, parameters, multiply-adds and what it keeps.

Shapes are (height, width, channels), or (channels,) after global pooling; the batch is left out. Operations
compare equal when they do the same thing, whatever they are called, so equal units are visible.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import ClassVar, Literal

from reskeras.errors import ReskerasError

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One operation. `keeps` says which of its tensors the backward pass needs: input, output, or both."""

    name: str = field(compare=False)
    kind: ClassVar[str] = ""
    keeps: ClassVar[tuple[str, ...]] = ()

    @property
    def learned(self) -> tuple[str, ...]:
        """What the operation's trainable weights are called."""
        return ()

    def output_shape(self, shape: Shape) -> Shape:
        """Shape that comes out for `shape` going in; ReskerasError when it cannot go in."""
        return shape

    def parameters(self, shape: Shape) -> int:
        """Trainable numbers, for an input of `shape`."""
        return 0

    def statistics(self, shape: Shape) -> int:
        """Numbers that move without a gradient (moving means and variances)."""
        return 0

    def multiply_adds(self, shape: Shape) -> int:
        """Multiply-adds of convolutions and dense layers for one image, as the papers count (v1 table 1)."""
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv(Op):
    """2-D convolution; `valid` wants its padding from a Pad before it, `same` splits it as TensorFlow does."""

    kind: ClassVar[str] = "conv"
    keeps: ClassVar[tuple[str, ...]] = ("input",)
    filters: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Literal["same", "valid"] = "same"
    groups: int = 1
    bias: bool = False
    bias_start: float = 0.0
    initialiser: str = "he_normal"

    @property
    def learned(self) -> tuple[str, ...]:
        return ("kernel", "bias") if self.bias else ("kernel",)

    def output_shape(self, shape: Shape) -> Shape:
        return (*_window(self, shape), self.filters)

    def _kernel_size(self, shape: Shape) -> int:
        return prod(self.kernel) * (shape[-1] // self.groups) * self.filters

    def parameters(self, shape: Shape) -> int:
        return self._kernel_size(shape) + self.bias * self.filters

    def multiply_adds(self, shape: Shape) -> int:
        return self._kernel_size(shape) * prod(self.output_shape(shape)[:-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNorm(Op):
    """Batch normalisation over the channels; `gamma_start` is what its scale begins with."""

    kind: ClassVar[str] = "bn"
    keeps: ClassVar[tuple[str, ...]] = ("input",)
    momentum: float
    epsilon: float
    scale: bool = True
    gamma_start: float = 1.0

    @property
    def learned(self) -> tuple[str, ...]:
        return ("gamma", "beta") if self.scale else ("beta",)

    def parameters(self, shape: Shape) -> int:
        return shape[-1] * (1 + self.scale)

    def statistics(self, shape: Shape) -> int:
        return 2 * shape[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relu(Op):
    """max(x, 0)."""

    kind: ClassVar[str] = "relu"
    keeps: ClassVar[tuple[str, ...]] = ("output",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sigmoid(Op):
    """1 / (1 + exp(-x))."""

    kind: ClassVar[str] = "sigmoid"
    keeps: ClassVar[tuple[str, ...]] = ("output",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool(Op):
    """Max or average over a window. A 1x1 window with a stride takes every stride-th position."""

    kind: ClassVar[str] = "pool"
    reduce: Literal["max", "average"]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: Literal["same", "valid"] = "valid"

    @property
    def keeps(self) -> tuple[str, ...]:
        """A maximum's gradient goes to where the maximum was; an average's needs no number."""
        return ("input", "output") if self.reduce == "max" else ()

    def output_shape(self, shape: Shape) -> Shape:
        return (*_window(self, shape), shape[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalPool(Op):
    """Max or average over all positions; `keep_positions` leaves them as 1x1, for a merge that broadcasts."""

    kind: ClassVar[str] = "global_pool"
    reduce: Literal["max", "average"] = "average"
    keep_positions: bool = False

    @property
    def keeps(self) -> tuple[str, ...]:
        """As for Pool."""
        return ("input", "output") if self.reduce == "max" else ()

    def output_shape(self, shape: Shape) -> Shape:
        return (1, 1, shape[-1]) if self.keep_positions else (shape[-1],)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatten(Op):
    """All positions and channels in one row."""

    kind: ClassVar[str] = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        return (prod(shape),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense(Op):
    """Fully connected layer on the last axis; the network's logits, always computed in float32."""

    kind: ClassVar[str] = "dense"
    keeps: ClassVar[tuple[str, ...]] = ("input",)
    units: int
    bias: bool = True
    initialiser: str = "he_normal"

    @property
    def learned(self) -> tuple[str, ...]:
        return ("kernel", "bias") if self.bias else ("kernel",)

    def output_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], self.units)

    def parameters(self, shape: Shape) -> int:
        return (shape[-1] + self.bias) * self.units

    def multiply_adds(self, shape: Shape) -> int:
        return prod(shape) * self.units


@dataclass(frozen=True, slots=True, kw_only=True)
class Pad(Op):
    """Rows above and below the image, columns left and right of it: zeros, or with border `edge` the mirror image,
    whose nearest is in the window of a max-pool anyway, so that it counts nothing there."""

    kind: ClassVar[str] = "pad"
    rows: tuple[int, int]
    columns: tuple[int, int]
    border: Literal["zero", "edge"] = "zero"

    def output_shape(self, shape: Shape) -> Shape:
        height, width, channels = shape
        return (height + sum(self.rows), width + sum(self.columns), channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class PadChannels(Op):
    """Zero channels after the ones there are, up to `channels` (v1 section 3.3, option A)."""

    kind: ClassVar[str] = "pad_channels"
    channels: int

    def output_shape(self, shape: Shape) -> Shape:
        if self.channels < shape[-1]:
            raise ReskerasError(f"{self.name}: {shape[-1]} channels cannot be padded to {self.channels}")
        return (*shape[:-1], self.channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale(Op):
    """x times a constant."""

    kind: ClassVar[str] = "scale"
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout(Op):
    """Elements, or with `per_image` whole images, become 0 at `rate` in training; the rest grow by 1/(1-rate)."""

    kind: ClassVar[str] = "dropout"
    keeps: ClassVar[tuple[str, ...]] = ("output",)  # stands for the mask
    rate: float
    per_image: bool = False


def _window(op: Conv | Pool, shape: Shape) -> tuple[int, int]:
    """Positions of a window of `op.kernel` moving by `op.stride` over (height, width, channels)."""
    sizes = []
    for size, kernel, stride in zip(shape[:2], op.kernel, op.stride, strict=True):
        if op.padding == "valid" and size < kernel:
            raise ReskerasError(f"{op.name}: a window of {kernel} does not fit an input of {size} pixels; "
                                "choose a larger input_shape")
        sizes.append(-(-size // stride) if op.padding == "same" else (size - kernel) // stride + 1)
    return tuple(sizes)
