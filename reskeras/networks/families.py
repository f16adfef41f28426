"""Family presets and all defaults of networks: stems, widths, depths, input sizes, batch norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from reskeras.networks.parts import BatchNormSpec, ConvSpec, HeadSpec, PoolSpec, StemSpec


@dataclass(frozen=True)
class FamilyPreset:
    """The preset of a `family`; `widths` has one entry per stage."""

    stem: StemSpec
    widths: tuple[int, ...]
    input_shape: tuple[int, int, int]
    classes: int


FAMILIES = {
    # v1 table 1
    "imagenet": FamilyPreset(
        stem=StemSpec(convs=(ConvSpec(kernel=7, width=64, stride=2),), pool=PoolSpec(kernel=3, stride=2)),
        widths=(64, 128, 256, 512),
        input_shape=(224, 224, 3),
        classes=1000,
    ),
    # v1 section 4.2
    "cifar": FamilyPreset(
        stem=StemSpec(convs=(ConvSpec(kernel=3, width=16, stride=1),), pool=None),
        widths=(16, 32, 64),
        input_shape=(32, 32, 3),
        classes=10,
    ),
}

# (block, units per stage) of the depths that the papers tabulate: v1 table 1; 200 is v2 table 5.
IMAGENET_DEPTHS = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
    200: ("bottleneck", (3, 24, 36, 3)),
}
CIFAR_DEPTHS = {164: ("bottleneck", (18, 18, 18)), 1001: ("bottleneck", (111, 111, 111))}  # v2 table 3

# v1 section 4.1 uses B with bottlenecks and ImageNet, section 4.2 uses A in all CIFAR nets of basic units
DEFAULT_SHORTCUT: dict[tuple[str | None, str], str] = {("cifar", "basic"): "A", ("cifar", "single"): "A"}
OTHER_SHORTCUT = "B"

DEFAULTS: dict[str, Any] = {
    "order": "original",
    "downsample": "first",
    "projection": "strided",
    "groups": 1,
    "inner_factor": 1.0,
    "squeeze": None,
    "squeeze_multiple": 1,
    "first_shortcut": "activated",
    "head": HeadSpec(pool="average", dropout=0.0),
    "padding": "symmetric",
    "conv_bias": False,
    "bn": BatchNormSpec(momentum=0.9, epsilon=1e-5, scale=True),
    "zero_gamma": False,
    "activation": "relu",
    "initialiser": "he_normal",
    "drop_path": 0.0,
}
STRIDE_ON: Final = "first_1x1"  # v1; 3x3 is often called v1.5
