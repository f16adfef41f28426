"""The parts that every kind of network has: stem, batch norm, head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field

from reskeras.documents.fields import Kernel, Spec, Stride, Width, within
from reskeras.plans.initialisers import INITIALISERS
from reskeras.plans.operations import ACTIVATIONS

SMALL_NORMAL = "small_normal"  # for a detector's last layers only: an untrained one predicts nothing with confidence
if TYPE_CHECKING:  # the choices are the table's keys, which only run time knows
    Initialiser: TypeAlias = str
    Activation: TypeAlias = str
else:
    Activation = Literal[tuple(ACTIVATIONS)]
    Initialiser = Literal[tuple(name for name in INITIALISERS if name != SMALL_NORMAL)]


class ConvSpec(Spec):
    """One convolution of the stem: a square kernel, its output channels and stride.

    `bn`: whether batch norm follows it; without it the convolution has a bias, as a whitening one (arXiv:2404.00498).
    """

    kernel: Annotated[Kernel, Field(description="Side of the square kernel")] = 3
    width: Annotated[Width, Field(description="Output channels")]
    stride: Annotated[Stride, Field(description="Step of the kernel")] = 1
    bn: Annotated[bool, Field(description="Whether batch norm follows; a convolution without it has a bias")] = True


class PoolSpec(Spec):
    """The stem's max-pool. `border` is what surrounds the map where the padding is symmetric: zeros, or padding that
    the maximum ignores (`edge`, as in PyTorch). After a ReLU both are the same."""

    kernel: Annotated[Kernel, Field(description="Side of the square window")] = 3
    stride: Annotated[Stride, Field(description="Step of the window")] = 2
    border: Annotated[Literal["zero", "edge"], Field(description="Padding around the map")] = "zero"


class StemSpec(Spec):
    """What precedes the first stage: convolutions, then optionally a max-pool (v1 table 1).

    `activated`: whether batch norm and ReLU follow the last convolution, before the pool: in the papers they do; in
    keras.applications' and timm's second versions they do not.
    """

    convs: Annotated[tuple[ConvSpec, ...], Field(min_length=1, max_length=8, description="The convolutions, in order")]
    pool: Annotated[PoolSpec | None, Field(description="The max-pool after them; null: none")] = None
    activated: Annotated[
        bool, Field(description="Whether batch norm and the activation follow the last convolution")
    ] = True


class BatchNormSpec(Spec):
    """Batch normalisation everywhere in the network: moving-average momentum, epsilon, learned scale."""

    momentum: Annotated[
        float,
        within(0, 1, below=True),
        Field(description="Share of the old value in each update of the moving averages"),
    ] = 0.9
    epsilon: Annotated[float, within(0, 1), Field(description="Added to the variance")] = 1e-5
    scale: Annotated[bool, Field(description="Whether the scale is learned; the shift always is")] = True


class HeadSpec(Spec):
    """What follows the last stage: global pooling, optional dropout of the features, one dense layer, whose logits are
    multiplied by `scale` (a temperature; 1/9 in arXiv:2404.00498)."""

    pool: Annotated[Literal["average", "max"], Field(description="Global pooling of the last map")] = "average"
    dropout: Annotated[float, within(0, 1, below=True), Field(description="Dropout rate of the pooled features")] = 0.0
    scale: Annotated[float, within(0, 1000, above=True), Field(description="Factor by which logits are multiplied")] = (
        1.0
    )
