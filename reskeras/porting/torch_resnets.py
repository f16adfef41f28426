"""The network of torchvision or timm that a residual network's spec is, with the arguments that make it there."""

from __future__ import annotations

from typing import Any

from reskeras.errors import ReskerasError
from reskeras.networks.blocks import BLOCKS
from reskeras.networks.excitation import middle
from reskeras.networks.families import FAMILIES
from reskeras.networks.network import ResolvedNetwork
from reskeras.networks.orders import ORDERS
from reskeras.porting.originals import Architecture

USUAL_WIDTHS = FAMILIES["imagenet"].widths
TIMM_SQUEEZE, TIMM_MULTIPLE = 16, 8  # of all timm networks named se...
STEM = 64  # channels


def torchvision_resnet(decided: ResolvedNetwork) -> Architecture:
    """torchvision's ResNet of the same block and stages; ReskerasError where it has none."""
    if decided.squeeze:
        raise ReskerasError("to: torchvision's ResNet has no squeeze-and-excitation; use timm-state-dict")
    widths, channels = tuple(row.width for row in decided.stages), decided.input_shape[-1]
    if (widths, channels) != (USUAL_WIDTHS, 3):
        usual, own = (", ".join(map(str, each)) for each in (USUAL_WIDTHS, widths))
        raise ReskerasError(
            f"to: torchvision's ResNet has stages of width {usual} and takes 3 channels, but this network has "
            f"{own} and takes {channels}; use timm-state-dict, which allows others"
        )
    return Architecture(
        "torchvision",
        "ResNet",
        {
            "block": decided.stages[0].block,
            "layers": [row.units for row in decided.stages],
            **changed(groups=(decided.groups, 1), width_per_group=(group_width(decided), 64)),
        },
    )


def timm_resnet(decided: ResolvedNetwork) -> Architecture:
    """timm's network of the same block and version, with the arguments in which this one differs from it."""
    rows, stem = decided.stages, decided.stem.convs
    bottleneck, second = rows[0].block == "bottleneck", ORDERS[rows[0].order].preactivates
    if decided.squeeze and (second or decided.squeeze != TIMM_SQUEEZE):
        raise ReskerasError(
            f"to: timm has squeeze-and-excitation only with order 'original' and squeeze {TIMM_SQUEEZE}, "
            f"but this network has order {rows[0].order!r} and squeeze {decided.squeeze}"
        )
    if decided.squeeze:
        for width in (row.width * BLOCKS[row.block].expansion for row in rows):
            own, theirs = (middle(width, TIMM_SQUEEZE, each) for each in (decided.squeeze_multiple, TIMM_MULTIPLE))
            if own != theirs:
                raise ReskerasError(
                    f"to: timm reduces {width} channels to {theirs} in squeeze-and-excitation, but this network "
                    f"to {own}; use squeeze_multiple: {TIMM_MULTIPLE}"
                )
    if len(stem) == 1 and not second and stem[0].width != STEM:
        raise ReskerasError(f"to: timm's plain stem has {STEM} channels, but this one has {stem[0].width}")
    if second and decided.groups > 1:
        raise ReskerasError(f"to: timm's ResNetV2 has no groups, but this network has {decided.groups}")
    deep, widths = len(stem) > 1, tuple(row.width for row in rows)
    units, usual = [row.units for row in rows], [3, 4, 6, 3] if bottleneck else [2, 2, 2, 2]
    arguments = changed(
        layers=(units, usual),
        channels=(widths, USUAL_WIDTHS),
        stem_type=("deep" if deep else "", ""),
        avg_down=(decided.projection == "pooled", False),
    )
    depth = "50" if bottleneck else "18"
    if not second:
        arguments |= changed(
            cardinality=(decided.groups, 1), base_width=(group_width(decided), 64), stem_width=(stem[0].width, STEM)
        )
        return Architecture("timm", f"{'se' if decided.squeeze else ''}resnet{depth}", arguments)
    expansion = BLOCKS[rows[0].block].expansion
    if "channels" in arguments:
        arguments["channels"] = [width * expansion for width in widths]
    if bottleneck:
        arguments |= changed(bottle_ratio=(decided.inner_factor / expansion, 1 / expansion))
    return Architecture("timm", f"resnetv2_{depth}", arguments | changed(stem_chs=(stem[-1].width, STEM)))


def changed(**values: tuple[Any, Any]) -> dict[str, Any]:
    """Of arguments given as (value, usual value), those that differ from the usual one."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, (value, usual) in values.items()
        if value != usual
    }


def group_width(decided: ResolvedNetwork) -> float:
    """torchvision's `width_per_group`, timm's `base_width`: channels per group of the first stage's 3x3 layers."""
    width = 64 * decided.inner_factor / decided.groups
    return round(width) if width == round(width) else width
