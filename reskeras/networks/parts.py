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

    `bn`: whether batch norm follows it; without it has a bias, as a whitening convolution (arXiv:2404.00498).
    """

    kernel: Kernel = 3
    width: Width
    stride: Stride = 1
    bn: bool = True


class PoolSpec(Spec):
    """The stem's max-pool. `border` is what surrounds the map where the padding is symmetric: zeros, or padding that
    the maximum ignores (`edge`, as in PyTorch). After a ReLU both are the same."""

    kernel: Kernel = 3
    stride: Stride = 2
    border: Literal["zero", "edge"] = "zero"


class StemSpec(Spec):
    """What precedes the first stage: convolutions, then optionally a max-pool (v1 table 1).

    `activated`: whether batch norm and ReLU follow the last convolution, before the pool: in the papers they do; in
    keras.applications' and timm's second versions they do not.
    """

    convs: Annotated[tuple[ConvSpec, ...], Field(min_length=1, max_length=8)]
    pool: PoolSpec | None = None
    activated: bool = True


class BatchNormSpec(Spec):
    """Batch normalisation everywhere in the network: moving-average momentum, epsilon, learned scale."""

    momentum: Annotated[float, within(0, 1, below=True)] = 0.9
    epsilon: Annotated[float, within(0, 1)] = 1e-5
    scale: bool = True


class HeadSpec(Spec):
    """What follows the last stage: global pooling, optional dropout of the features, one dense layer, whose logits are
    multiplied by `scale` (a temperature; 1/9 in arXiv:2404.00498)."""

    pool: Literal["average", "max"] = "average"
    dropout: Annotated[float, within(0, 1, below=True)] = 0.0
    scale: Annotated[float, within(0, 1000, above=True)] = 1.0
